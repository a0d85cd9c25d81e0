"""Several questions to a history at once: what would be as many journeys over a network is one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from lepton_ai.history import states
from lepton_ai.history.record import digests, parse_record
from lepton_ai.history.refs.calls import MOST, Above, Seen, Several, Since
from lepton_ai.history.refs.contract import History, Ref, VersionRow

ROWS = 500
"""Versions after which no more are looked for in one answer."""
PAGES = (8, 100, 1000)
"""Entries of the log that are read at first, then, and then at most."""


def several(history: History, asked: Several) -> Seen:
    """The answers. They are read one after the other: a commit is still checked against the stamps."""
    refs, cut = dict[str, Ref](), []
    for prefix in asked.prefixes:
        found = history.scan(prefix, limit=MOST + 1)
        if len(found) > MOST:
            cut.append(prefix)
        refs |= {ref.key: ref for ref in found[:MOST]}
    newest, moved = changes(history, asked.since, MOST) if asked.since is not None else (0, [])
    told = moved if len(moved) <= MOST else None
    refs |= history.get(list(dict.fromkeys([*asked.keys, *(told or ())])))
    rows = above(history, asked.above, refs.values()) if asked.above is not None else []
    refs |= history.get([f"version/{first.hex()}" for first in dict.fromkeys(row.first for row in rows)])
    refs |= history.get([f"line/{uid}" for uid in dict.fromkeys(row.branch for row in rows)])
    named = {digest for row in rows for digest in digests(parse_record(row.record, row.id))}
    return Seen(
        tuple(refs.values()), tuple(cut), tuple(history.versions(asked.versions)),
        tuple(history.contents(asked.contents)), newest, None if told is None else tuple(told), tuple(rows),
        tuple(history.contents(sorted(named)).values()) if len(named) <= MOST else (),
    )  # fmt: skip


def changes(history: History, since: Since, most: int | None = None) -> tuple[int, list[str]]:
    """The number of the newest entry of the log below a prefix, and the keys that moved after the one given.

    Not much more than ``most`` of them are looked for.
    """
    newest, keys = 0, dict[str, None]()
    before: int | None = None
    for size in _sizes():
        page = history.log(since.prefix, before=before, limit=size)
        newest = max(newest, page[0].number) if page else newest
        keys |= dict.fromkeys(entry.key for entry in page if entry.number > since.number)
        if most is not None and len(keys) > most:
            break
        if len(page) < size or page[-1].number <= since.number:
            break
        before = page[-1].number
    return newest, list(keys)


def _sizes() -> Iterator[int]:
    yield from PAGES[:-1]
    while True:
        yield PAGES[-1]


def above(history: History, asked: Above, refs: Iterable[Ref] = ()) -> list[VersionRow]:
    """All revisions of the versions above what is known, newest first; no more than about :data:`ROWS`.

    What is known is walked down at the same pace, so that a branch which was merged ends about where it began.
    """
    front = list(dict.fromkeys([*asked.heads, *(_heads(refs) if asked.branches else ())]))
    known = set(asked.known)
    found: dict[bytes, VersionRow] = {}
    edge = list(known)
    while front and len(found) < ROWS:
        rows = history.versions([id_ for id_ in front if id_ not in known])
        firsts = list(dict.fromkeys(row.first for row in rows.values()))[:ROWS]
        whole = [all_ for all_ in history.revisions(firsts).values() if all_[0].id not in found]
        found |= {row.id: row for all_ in whole for row in all_}
        above_known = [row for all_ in whole if known.isdisjoint(row.id for row in all_) for row in all_]
        front = list(
            dict.fromkeys(parent for row in above_known for parent in row.parents if parent not in found)
        )
        edge = [
            parent for row in history.versions(edge).values() for parent in row.parents if parent not in known
        ]
        known.update(edge)
    return list(found.values())


def _heads(refs: Iterable[Ref]) -> Iterator[bytes]:
    for ref in refs:
        if ref.key.startswith("branch/"):
            state = states.decode(states.BranchState, ref)
            if state.head is not None and state.deleted is None:
                yield bytes.fromhex(state.head)
