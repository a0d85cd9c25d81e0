"""Ancestors in O(log n) rows: jump pointers over first parents.

Source: E. W. Myers, "An applicative random-access stack", Information Processing Letters 17 (1983).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lepton_ai.errors import Damaged
from lepton_ai.history.refs.contract import Records, VersionRow


def row(records: Records, version_id: bytes) -> VersionRow:
    """The row of one version.

    Raises:
        Damaged: something points at it and it is not there.
    """
    found = records.versions([version_id]).get(version_id)
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
    if depth < 0 or depth > start.depth:
        return None
    current = start
    while current.depth > depth:
        step = None
        if current.jump is not None:
            jump = row(records, current.jump)
            step = jump if jump.depth >= depth else None
        current = step if step is not None else row(records, current.parents[0])
    return current


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
    reachable = records.versions(list(ancestors(records, [newer]))).values()
    return any(found.first == bottom.first for found in reachable)
