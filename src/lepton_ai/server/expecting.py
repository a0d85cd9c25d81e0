"""If-Match on what a repository keeps: the verb is applied only if the value still is the one that was read."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

from msgspec.structs import replace

from lepton_ai.errors import LostRace
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Ref
from lepton_ai.repository import ModelRepository
from lepton_ai.server.etags import check
from lepton_ai.server.problems import Refused


class Stale(Refused):
    """What was to be changed is no longer what the caller read."""

    kind = "lost-race"


def tag_of(ref: Ref | None) -> str | None:
    """The ETag of a value of the history; None when there is none."""
    return f'"{ref.stamp}"' if ref else None


def expecting(
    repository: ModelRepository,
    key: str,
    if_match: str | None,
    what: str,
    tag: Callable[[Ref | None], str | None] = tag_of,
) -> ModelRepository:
    """The same repository, whose changes only apply while ``key`` is what the caller read. ``tag`` tells its ETag.

    Raises:
        Changed: it is not (412).
    """
    if if_match is None:
        return repository
    ref = repository.home.history.get([key]).get(key)
    check(if_match, tag(ref), what)
    home = copy.copy(repository.home)
    home.history = _Expecting(home.history, key, ref.stamp if ref else ABSENT, what)
    bound = ModelRepository.over(home, author=repository.author)
    bound.settings = repository.settings
    return bound


class _Expecting:
    """A history in which one value must stay as it was read until the commit that changes it."""

    def __init__(self, history: History, key: str, stamp: int, what: str) -> None:
        self._history, self._key, self._stamp, self._what = history, key, stamp, what

    def __getattr__(self, name: str) -> Any:
        return getattr(self._history, name)

    def commit(self, change: Commit) -> None:
        """Apply a commit; one that changes the value, only if it is still the one that was read.

        Raises:
            Stale: it is not; there is no use in trying again.
        """
        if self._key not in _moved(change):
            self._history.commit(change)
            return
        try:
            self._history.commit(_bound(change, self._key, self._stamp))
        except LostRace as lost:
            now = self._history.get([self._key]).get(self._key)
            if (now.stamp if now else ABSENT) == self._stamp:
                raise
            raise Stale(
                412, f"{self._what} is no longer what you read", hint="read it again, then decide"
            ) from lost


def _moved(change: Commit) -> Iterable[str]:
    return [move.key for move in change.moves]


def _bound(change: Commit, key: str, stamp: int) -> Commit:
    moves = tuple(replace(move, expected=stamp) if move.key == key else move for move in change.moves)
    return replace(change, moves=moves)
