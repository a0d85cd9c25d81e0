"""The door: which merge methods are installed, ours and strangers'."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, cast

from lepton_ai.errors import NotFound, Unsupported
from lepton_ai.formats.plugins import Plugin, plugins

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Method

GROUP = "lepton_ai.merges"


def names() -> tuple[str, ...]:
    """The names of all methods, sorted. Imports none of them."""
    return tuple(_installed())


def method(name: str) -> Method:
    """The method of this name; ``-`` counts as ``_``.

    Raises:
        NotFound: no such method is installed.
        Unsupported: it is a plugin that cannot be imported.
    """
    plugin = _installed().get(name.lower().replace("-", "_"))
    if plugin is None:
        raise NotFound(f"there is no merge method {name!r}", hint=f"there are {', '.join(names())}")
    return _loaded(plugin)


@cache
def _installed() -> dict[str, Plugin]:
    return {plugin.name: plugin for plugin in plugins(GROUP)}


@cache
def _loaded(plugin: Plugin) -> Method:
    try:
        return cast("Method", plugin.load())
    except Exception as problem:
        what = f"the merge method {plugin.name!r} ({plugin.value}) cannot be used"
        raise Unsupported(f"{what}: {type(problem).__name__}: {problem}") from problem
