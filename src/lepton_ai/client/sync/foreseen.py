"""A history on a server that was asked at once what a push or pull wants to know, and answers from that.

What it tells may be older than a moment; so may whatever is read over a network. A commit names the stamps that it was
computed from, and one that comes too late makes this forget everything but what never changes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lepton_ai.client.history import HttpHistory
from lepton_ai.errors import LostRace
from lepton_ai.history.refs.calls import MOST, Above, Several
from lepton_ai.history.refs.contract import Commit, ContentRow, History, LogEntry, Ref, VersionRow


class Foreseen:
    """The history ``far`` as an end of one journey; ``near`` has rows that need not travel. Not for several threads."""

    def __init__(self, far: HttpHistory, near: History | None = None) -> None:
        self._far, self._near = far, near
        self._refs: dict[str, Ref | None] = {}
        self._prefixes: set[str] = set()
        self._written: dict[str, bytes | None] = {}
        self._versions: dict[bytes, bool] = {}
        self._contents: dict[bytes, bool] = {}
        self._rows: dict[bytes, VersionRow] = {}
        self._revisions: dict[bytes, list[VersionRow]] = {}
        self._places: dict[bytes, ContentRow] = {}
        self.newest: int | None = None
        self.moved: tuple[str, ...] | None = None

    def foresee(self, asked: Several) -> None:
        """Ask all of this at once, and keep the answers."""
        seen = self._far.several(asked)
        self._refs |= dict.fromkeys(asked.keys)
        self._refs |= {ref.key: ref for ref in seen.refs}
        self._prefixes |= set(asked.prefixes) - set(seen.cut)
        self._versions |= dict.fromkeys(asked.versions, False) | dict.fromkeys(seen.versions, True)
        self._contents |= dict.fromkeys(asked.contents, False) | dict.fromkeys(seen.contents, True)
        if asked.since is not None:
            self.newest, self.moved = seen.newest, seen.moved
        self._learn(seen.rows)
        for first in {row.first for row in seen.rows}:
            whole = [row for row in seen.rows if row.first == first]
            self._revisions[first] = sorted(whole, key=lambda row: row.revision)
        self._places |= {row.sha256: row for row in seen.places}

    def forget(self) -> None:
        """What may have changed has to be asked anew."""
        self._refs.clear()
        self._prefixes.clear()
        self._versions = {id_: True for id_, there in self._versions.items() if there}
        self._contents.clear()
        self._revisions.clear()
        self._places.clear()

    def known(self, ids: Iterable[bytes]) -> set[bytes]:
        """Those of the versions that are there."""
        wanted = list(dict.fromkeys(ids))
        for some in _parts([id_ for id_ in wanted if id_ not in self._versions]):
            self.foresee(Several(versions=tuple(some)))
        return {id_ for id_ in wanted if self._versions[id_]}

    def wonders(self, ids: Iterable[bytes]) -> bool:
        """Whether it is not known of some of the versions."""
        return any(id_ not in self._versions for id_ in ids)

    def look_above(self, heads: Iterable[bytes]) -> None:
        """Have the rows of versions, and of many that they come from."""
        lacking = [head for head in heads if head not in self._rows]
        for some in _parts(lacking, MOST):
            self.foresee(Several(above=Above(tuple(some))))

    def keeps(self, digests: Iterable[bytes]) -> set[bytes]:
        """Those of the files that are there, by their SHA-256."""
        wanted = list(dict.fromkeys(digests))
        for some in _parts([digest for digest in wanted if digest not in self._contents]):
            self.foresee(Several(contents=tuple(some)))
        return {digest for digest in wanted if self._contents[digest]}

    def values(self, keys: Sequence[str]) -> dict[str, bytes | None]:
        """What the refs hold, as far as they exist, or held when they were written here."""
        rest = self.get([key for key in keys if key not in self._written])
        told = {key: self._written[key] for key in keys if key in self._written}
        return told | {key: ref.value for key, ref in rest.items()}

    def get(self, keys: Sequence[str]) -> dict[str, Ref]:
        """As :class:`~lepton_ai.history.refs.contract.Refs`; not always one snapshot."""
        rest = [key for key in keys if not self._told(key)]
        found = self._far.get(rest) if rest else {}
        return found | {key: ref for key in keys if (ref := self._refs.get(key)) is not None}

    def scan(self, prefix: str, *, after: str = "", limit: int | None = None) -> list[Ref]:
        """As :class:`~lepton_ai.history.refs.contract.Refs`."""
        if not any(prefix.startswith(whole) for whole in self._prefixes):
            return self._far.scan(prefix, after=after, limit=limit)
        told = (ref for key, ref in sorted(self._refs.items()) if key.startswith(prefix) and key > after)
        return [ref for ref in told if ref is not None][:limit]

    def commit(self, change: Commit) -> None:
        """As :class:`~lepton_ai.history.refs.contract.Refs`."""
        try:
            self._far.commit(change)
        except LostRace:
            self.forget()
            raise
        for move in change.moves:
            self._written[move.key] = move.value
            self._refs.pop(move.key, None)
            self._prefixes = {prefix for prefix in self._prefixes if not move.key.startswith(prefix)}
        self._versions |= dict.fromkeys((row.id for row in change.versions), True)
        self._contents |= dict.fromkeys((row.sha256 for row in change.contents), True)

    def log(self, prefix: str = "", *, before: int | None = None, limit: int | None = None) -> list[LogEntry]:
        """As :class:`~lepton_ai.history.refs.contract.Refs`."""
        return self._far.log(prefix, before=before, limit=limit)

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """As :class:`~lepton_ai.history.refs.contract.Records`."""
        found = {id_: self._rows[id_] for id_ in ids if id_ in self._rows}
        there = [id_ for id_ in ids if id_ not in found and self._versions.get(id_, False)]
        if there and self._near is not None:
            near = self._near.versions(there)  # a version is the same wherever it is
            self._learn(near.values())
            found |= near
        rest = [id_ for id_ in ids if id_ not in found and self._versions.get(id_, True)]
        return found | (self._far.versions(rest) if rest else {})

    def revisions(self, firsts: Sequence[bytes]) -> dict[bytes, list[VersionRow]]:
        """As :class:`~lepton_ai.history.refs.contract.Records`."""
        found = {first: self._revisions[first] for first in firsts if first in self._revisions}
        rest = [first for first in firsts if first not in found]
        return found | (self._far.revisions(rest) if rest else {})

    def named(self, name: str) -> list[VersionRow]:
        """As :class:`~lepton_ai.history.refs.contract.Records`."""
        return self._far.named(name)

    def find(self, prefix: str, *, limit: int = 10) -> list[bytes]:
        """As :class:`~lepton_ai.history.refs.contract.Records`."""
        return self._far.find(prefix, limit=limit)

    def page(self, *, before: int | None = None, limit: int | None = None) -> list[tuple[int, VersionRow]]:
        """As :class:`~lepton_ai.history.refs.contract.Records`."""
        return self._far.page(before=before, limit=limit)

    def contents(self, digests: Iterable[bytes]) -> dict[bytes, ContentRow]:
        """As :class:`~lepton_ai.history.refs.contract.Records`."""
        wanted = list(digests)
        found = {digest: self._places[digest] for digest in wanted if digest in self._places}
        rest = [digest for digest in wanted if digest not in found]
        return found | (self._far.contents(rest) if rest else {})

    def close(self) -> None:
        """Its home closes the history."""

    def _learn(self, rows: Iterable[VersionRow]) -> None:
        """Remember rows that are there; then so are the versions that they come from."""
        for row in rows:
            self._rows[row.id] = row
            above = (*row.parents, *((row.jump,) if row.jump is not None else ()))
            self._versions |= dict.fromkeys((row.id, *above), True)

    def _told(self, key: str) -> bool:
        return key in self._refs or any(key.startswith(prefix) for prefix in self._prefixes)


def _parts(items: list[bytes], size: int = 2000) -> Iterable[list[bytes]]:
    return (items[start : start + size] for start in range(0, len(items), size))
