"""Everything that a change looks at, read in one transaction: of one state, and with fewer journeys to the database."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from lepton_ai.catalog.database import Catalog
from lepton_ai.history.refs.contract import Commit, History
from lepton_ai.repository import ModelRepository


@contextmanager
def one_view(catalog: Catalog, opened: Callable[[], ModelRepository]) -> Iterator[ModelRepository]:
    """A repository of ``catalog`` that is read in one transaction until it is changed, and in another one after that.

    For verbs that write nothing but a commit to its history. Only the thread that began the block may use it.
    """
    with ExitStack() as held:
        held.enter_context(catalog.at_once())
        repository = opened()
        home = copy.copy(repository.home)
        home.history = _OneView(home.history, catalog, held)
        bound = ModelRepository.over(home, author=repository.author)
        bound.settings = repository.settings
        yield bound


class _OneView:
    """A history in whose reading transaction (``held``, open to begin with) all is read until a commit ends it."""

    def __init__(self, history: History, catalog: Catalog, held: ExitStack) -> None:
        self._history, self._catalog, self._held = history, catalog, held
        self._reading = True

    def __getattr__(self, name: str) -> Any:
        if not self._reading:
            self._held.enter_context(self._catalog.at_once())
            self._reading = True
        return getattr(self._history, name)

    def commit(self, change: Commit) -> None:
        """Apply a commit. Whoever loses a race reads afresh."""
        self._held.close()
        self._reading = False
        self._history.commit(change)
