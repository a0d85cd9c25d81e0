"""Rooms that are imported when something of them is first used: everyday commands start without them."""

from __future__ import annotations

from importlib import import_module
from typing import Any


class Later:
    """A module that is not imported yet; whatever is asked of it, it imports.

    Only for names that are used while running. For a type checker, and for whoever reads who imports whom, the same
    module is imported under ``TYPE_CHECKING``.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"<later: {self._name}>"

    def __getattr__(self, attribute: str) -> Any:
        return getattr(import_module(self._name), attribute)
