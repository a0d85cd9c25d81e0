"""What nearly every route begins with: which repository is meant, and whether the caller may do that to it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Annotated, Any

from fastapi import Depends, Path, Request

from lepton_ai.catalog import repositories
from lepton_ai.catalog.repositories import Row
from lepton_ai.history.lines import Lines
from lepton_ai.repository import ModelRepository
from lepton_ai.server.access import Caller, allow
from lepton_ai.server.homes import Opened
from lepton_ai.server.one_view import one_view
from lepton_ai.server.running import Here, Running

DONE: dict[int | str, dict[str, Any]] = {204: {"description": "Done"}}
"""What the OpenAPI document says of a route that answers nothing."""
WHERE = "/repositories/{owner}/{name}"
"""Where a repository's resources are."""


class Asked:
    """A repository of the catalog, and who asks for it."""

    def __init__(self, row: Row, caller: Caller, here: Running) -> None:
        self.row, self.caller, self.here = row, caller, here

    def allow(self, act: str, object_key: str = "") -> None:
        """Let the caller do something to a part of it.

        Raises:
            Forbidden.
        """
        allow(self.caller, act, self.row, object_key)

    @property
    def opened(self) -> Opened:
        """Its packs and what arrives."""
        opened: Opened = self.here.homes.opened(self.row)
        return opened

    @property
    def repository(self) -> ModelRepository:
        """Its verbs, done by the caller.

        Raises:
            KeyMissing: only clients hold its key.
        """
        whole: ModelRepository = self.here.homes.open(self.row, author=self.caller.user)
        return whole

    @property
    def names(self) -> ModelRepository:
        """The verbs that need no plain weights, also where only clients hold the key."""
        whole: ModelRepository = self.here.homes.told(self.row, author=self.caller.user)
        return whole

    def at_once(self) -> AbstractContextManager[None]:
        """What is asked of the history in the block is read in one transaction, of one state."""
        held: AbstractContextManager[None] = self.here.catalog.at_once()
        return held

    def changing(self) -> AbstractContextManager[ModelRepository]:
        """:attr:`names` for a change that is a commit and nothing else; what it looks at is read in one transaction."""
        return one_view(self.here.catalog, lambda: self.names)

    @property
    def lines(self) -> Lines:
        """Questions to its history; needs no keys."""
        return Lines(self.here.homes.history(self.row))


def asked(act: str) -> Callable[..., Asked]:
    """A dependency: the repository in the address, on which the caller may do ``act``."""

    def found(
        owner: Annotated[str, Path(description="Whose repository it is", examples=["ada"])],
        name: Annotated[str, Path(description="What it is called", examples=["resnet"])],
        request: Request,
        here: Here,
    ) -> Asked:
        caller: Caller = request.state.caller
        row = repositories.find(here.catalog, owner, name)
        allow(caller, act, row)
        return Asked(row, caller, here)

    return found


Reading = Annotated[Asked, Depends(asked("read"))]
Writing = Annotated[Asked, Depends(asked("write"))]
Keeping = Annotated[Asked, Depends(asked("admin"))]
