"""What one end has and the other lacks: rows of versions in the order in which they are taken, and what they need."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import TypeVar

import msgspec

from lepton_ai.client.sync.ends import End
from lepton_ai.errors import Damaged
from lepton_ai.history import manifest as manifests
from lepton_ai.history.record import digests, parse_record
from lepton_ai.history.refs.calls import Above
from lepton_ai.history.refs.contract import ContentRow, VersionRow
from lepton_ai.history.several import above
from lepton_ai.history.states import VersionState

T = TypeVar("T")
AT_ONCE = 500


class Gathered(msgspec.Struct, frozen=True):
    """Versions that travel, every revision of them, parents first; their states; and what they refer to.

    ``contents`` are those that the receiver has no row of; ``ids`` the objects that it lacks, of those that it was
    ``asked`` for.
    """

    rows: tuple[VersionRow, ...] = ()
    states: Mapping[bytes, VersionState] = {}
    contents: tuple[ContentRow, ...] = ()
    ids: frozenset[bytes] = frozenset()
    asked: frozenset[bytes] = frozenset()
    lacking: frozenset[bytes] = frozenset()

    @property
    def names(self) -> list[str]:
        """Names of the new versions, oldest first."""
        return [row.name for row in self.rows if row.revision == 1]


def versions(source: End, target: End, heads: Iterable[bytes]) -> list[VersionRow]:
    """Every version that is reachable from ``heads`` and not in ``target``, in all its revisions, parents first."""
    found: dict[bytes, VersionRow] = {}
    front = list(dict.fromkeys(heads))
    while front:
        if target.wonders(front):  # ask for those behind them too: every question is a journey
            target.known([*front, *(row.id for row in above(source.history, Above(tuple(front))))])
        there = target.known(front)
        lacked = [id_ for id_ in front if id_ not in there]
        source.look_above(lacked)
        rows = _some(source.history.versions, lacked)
        firsts = list({row.first for row in rows.values()})
        whole = {
            row.id: row
            for part in _parts(firsts)
            for each in source.history.revisions(part).values()
            for row in each
        }
        lacking = whole.keys() - target.known(whole.keys())
        new = {id_: whole[id_] for id_ in lacking if id_ not in found}
        found |= new
        front = list({parent for row in new.values() for parent in row.parents} - found.keys())
    return _in_order(found)


def _in_order(found: dict[bytes, VersionRow]) -> list[VersionRow]:
    """Parents before children, first revisions before later ones; without recursion."""
    by_first: dict[bytes, list[VersionRow]] = {}
    for row in found.values():
        by_first.setdefault(row.first, []).append(row)
    done: set[bytes] = set()
    ordered: list[VersionRow] = []
    for start in sorted(by_first, key=lambda first: min(row.created_at for row in by_first[first])):
        stack = [(start, False)]
        while stack:
            first, expanded = stack.pop()
            if first in done:
                continue
            rows = sorted(by_first[first], key=lambda row: row.revision)
            if expanded:
                done.add(first)
                ordered += rows
                continue
            stack.append((first, True))
            above = {found[parent].first for row in rows for parent in row.parents if parent in found}
            stack += [(parent, False) for parent in sorted(above - done)]
    return ordered


def gather(source: End, target: End, rows: list[VersionRow], *, blocks: bool = True) -> Gathered:
    """What the rows need at ``target``; without ``blocks`` only what describes the files.

    Raises:
        Damaged: ``source`` does not have what its versions refer to.
    """
    states = {
        first: state for first, (_, state) in source.lines.states(list({row.first for row in rows})).items()
    }
    wanted: dict[bytes, None] = {}
    for row in rows:
        state = states.get(row.first)
        if state is None:
            raise Damaged(f"version {row.name} has lost its state", hint="lepton verify says more")
        if state.purged_at is None:
            wanted |= dict.fromkeys(sorted(digests(parse_record(row.record, row.id))))
    contents = missing_contents(source, target, list(wanted))
    ids = objects(source, contents, blocks=blocks)
    if not ids:
        return Gathered(tuple(rows), states, tuple(contents))
    asked = ids if target.far is None else ids | source.home.store.traffic().bases(ids)
    lacking = target.lacks(asked)
    return Gathered(
        tuple(rows), states, tuple(contents), frozenset(ids & lacking), frozenset(asked), frozenset(lacking)
    )


def missing_contents(source: End, target: End, wanted: list[bytes]) -> list[ContentRow]:
    """Rows of the contents that ``target`` does not know.

    Raises:
        Damaged: ``source`` does not know them either.
    """
    there = target.keeps(wanted)
    lacking = [digest for digest in wanted if digest not in there]
    rows = _some(source.history.contents, lacking)
    for digest in lacking:
        if digest not in rows:
            raise Damaged(
                f"nothing in {source.home.named} says where the content {digest.hex()[:12]} is",
                hint="lepton verify there says more",
            )
    return [rows[digest] for digest in lacking]


def objects(source: End, contents: Iterable[ContentRow], *, blocks: bool = True) -> set[bytes]:
    """Ids of the objects that contents are made of, their descriptions included."""
    ids = {row.manifest for row in contents}
    found = set(ids)
    if blocks:
        for part in _parts(sorted(ids)):
            for data in source.home.store.small(part).values():
                for stream in manifests.decode(data).content.streams:
                    found.update(stream.ids)
    return found


def _parts(items: list[bytes]) -> Iterator[list[bytes]]:
    rest = iter(items)
    while some := list(islice(rest, AT_ONCE)):
        yield some


def _some(ask: Callable[[list[bytes]], Mapping[bytes, T]], items: list[bytes]) -> dict[bytes, T]:
    return {key: value for part in _parts(items) for key, value in ask(part).items()}
