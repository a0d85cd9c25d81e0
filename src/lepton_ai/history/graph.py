"""Ancestors: in O(log n) rows over first parents by jump pointers, over all parents in pages from the newest on.

Source: E. W. Myers, "An applicative random-access stack", Information Processing Letters 17 (1983).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lepton_ai.errors import Damaged
from lepton_ai.history.refs.contract import Records, VersionRow

_PAGE = 500


def row(records: Records, version_id: bytes) -> VersionRow:
    """The row of one version.

    Raises:
        Damaged: something points at it and it is not there.
    """
    return there(records.versions([version_id]), version_id)


def there(rows: Mapping[bytes, VersionRow], version_id: bytes) -> VersionRow:
    """The version among ``rows``, which something points at. Raises: Damaged: it is missing."""
    found = rows.get(version_id)
    if found is None:
        raise Damaged(
            f"version {version_id.hex()[:12]} is pointed at but missing from the history",
            hint="run lepton verify, then restore from a backup",
        )
    return found


def place_after(records: Records, parent: VersionRow | None) -> tuple[int, bytes | None]:
    """Depth and jump pointer of a new version whose first parent is ``parent``; reads at most two rows."""
    if parent is None:
        return 0, None
    if parent.jump is None:
        return parent.depth + 1, parent.id
    middle = row(records, parent.jump)
    if middle.jump is None:
        far_depth, far_id = middle.depth, middle.id
    else:
        far = row(records, middle.jump)
        far_depth, far_id = far.depth, far.id
    if parent.depth - middle.depth == middle.depth - far_depth:
        return parent.depth + 1, far_id
    return parent.depth + 1, parent.id


def ancestor_at(records: Records, start: VersionRow, depth: int) -> VersionRow | None:
    """The first-parent ancestor of ``start`` (itself included) at ``depth``; None when ``start`` is not that deep."""
    return ancestors_at(records, [(start, depth)])[0]


def ancestors_at(records: Records, wanted: Sequence[tuple[VersionRow, int]]) -> list[VersionRow | None]:
    """:func:`ancestor_at` for every start and depth: O(log n) questions to the history for all of them together."""
    known: dict[bytes, VersionRow] = {start.id: start for start, _ in wanted}
    reached = [start if 0 <= depth <= start.depth else None for start, depth in wanted]
    while True:
        walking = [
            (place, at, depth)
            for place, (at, (_, depth)) in enumerate(zip(reached, wanted, strict=True))
            if at is not None and at.depth > depth
        ]
        if not walking:
            return reached
        steps = {step for _, at, _ in walking for step in (at.jump, at.parents[0]) if step is not None}
        missing = [step for step in steps if step not in known]
        known |= records.versions(missing) if missing else {}
        for place, at, depth in walking:
            jump = there(known, at.jump) if at.jump is not None else None
            is_above = jump is not None and jump.depth >= depth
            reached[place] = jump if is_above else there(known, at.parents[0])


def first_parents(records: Records, start: VersionRow | None) -> Iterator[VersionRow]:
    """``start`` and its first-parent ancestors, newest first."""
    current = start
    while current is not None:
        yield current
        current = row(records, current.parents[0]) if current.parents else None


def ancestors(records: Records, starts: Iterable[bytes], *, known: set[bytes] | None = None) -> set[bytes]:
    """Ids of every version reachable from ``starts`` over all parents, ``starts`` included.

    ``known`` are not walked into and not returned.
    """
    stop = known or set()
    seen: set[bytes] = set()
    front = [start for start in starts if start not in stop]
    while front:
        seen.update(front)
        rows = records.versions(front)
        upwards = {parent for found in rows.values() for parent in found.parents}
        front = [parent for parent in upwards if parent not in seen and parent not in stop]
    return seen


def has_version(records: Records, newer: bytes, older: bytes) -> bool:
    """Whether the version of the revision ``older``, in any of its revisions, is ``newer`` or reachable from it.

    Versions count, not revisions: a line has a version in all its revisions, also in those that came later.
    """
    bottom, top = row(records, older), row(records, newer)
    on_line = ancestor_at(records, top, bottom.depth)
    if on_line is not None and on_line.first == bottom.first:
        return True
    return any(base.first == bottom.first for base in best_common(records, [newer, older]))


def apart(records: Records, heads: Iterable[bytes]) -> list[bytes]:
    """The versions that ``heads`` are, each once and in order, without those that others of them come from."""
    single = list(dict.fromkeys(heads))
    kept: list[bytes] = []
    for number, head in enumerate(single):
        rest = [*kept, *single[number + 1 :]]
        if not any(has_version(records, other, head) for other in rest):
            kept.append(head)
    return kept


def best_common(records: Records, heads: Sequence[bytes]) -> list[VersionRow]:
    """The versions that all ``heads`` come from, over all parents, without those that others of them come from.

    There are several when branches were merged crosswise: the deepest comes first, then the newest, then by id. A
    version is given as the oldest of the revisions that the heads were built upon: what later ones changed is a change
    of whoever was built upon them (decision 0003). Versions are numbered as they came, parents before children, so one
    pass over the pages from the newest on sees every version after all that come from it; clocks do not matter.
    """
    reached = [row(records, head) for head in heads]
    everybody = (1 << len(reached)) - 1
    open_: dict[bytes, _Seen] = {}
    for side, start in enumerate(reached):
        open_.setdefault(start.first, _Seen()).add(1 << side, {side: start})
    found: list[VersionRow] = []
    for page in _pages(records):
        parents = records.versions(list({parent for version in page for parent in version.parents}))
        for version in page:
            seen = open_.pop(version.first, None)
            if seen is None:
                continue
            if seen.sides == everybody and not seen.stale:
                found.append(min(seen.revisions.values(), key=lambda one: one.revision))
            stale = seen.sides == everybody
            for parent in (parents.get(id_) or row(records, id_) for id_ in version.parents):
                above = open_.setdefault(parent.first, _Seen())
                above.add(seen.sides, dict.fromkeys(seen.revisions, parent))
                above.stale |= stale
        if all(seen.stale for seen in open_.values()):
            break
    return sorted(found, key=lambda one: (-one.depth, -one.created_at, one.id))


class _Seen:
    """Of a version: from which heads it was reached (bits), in which newest revision from each.

    ``stale``: something better is common already.
    """

    def __init__(self) -> None:
        self.sides = 0
        self.revisions: dict[int, VersionRow] = {}
        self.stale = False

    def add(self, sides: int, revisions: dict[int, VersionRow]) -> None:
        self.sides |= sides
        for side, version in revisions.items():
            known = self.revisions.get(side)
            if known is None or known.revision < version.revision:
                self.revisions[side] = version


def _pages(records: Records) -> Iterator[list[VersionRow]]:
    """First revisions, newest first."""
    before: int | None = None
    while page := records.page(before=before, limit=_PAGE):
        before = page[-1][0]
        yield [version for _, version in page]
