"""Which plugins are installed: the entry points of a group, ours and strangers', told by their names.

They are what :mod:`importlib.metadata` finds. Importing that takes longer than reading a few small files, so where
everything lies in plain folders these are read here, by its rules; anything else is left to it.

Source: https://packaging.python.org/en/latest/specifications/entry-points/
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import reduce
from importlib import import_module
from importlib.machinery import PathFinder
from pathlib import Path
from typing import NamedTuple


class Plugin(NamedTuple):
    """A name, and where its object is: ``module:attribute``."""

    name: str
    value: str

    def load(self) -> object:
        """Import the object."""
        module, _, attribute = self.value.partition("[")[0].partition(":")
        names = filter(None, attribute.strip().split("."))
        return reduce(getattr, names, import_module(module.strip()))


def plugins(group: str) -> list[Plugin]:
    """The plugins of a group by their names, sorted; of two with one name that which is found last."""
    found = _in_folders(group) if _all_plain() else _anywhere(group)
    return [Plugin(name, found[name]) for name in sorted(found)]


def _anywhere(group: str) -> dict[str, str]:
    from importlib.metadata import entry_points  # with e-mail, CSV and zip: 10 ms

    return {entry.name: entry.value for entry in entry_points(group=group)}


def _all_plain() -> bool:
    """Whether Python looks for distributions in folders only: in no zip, egg, or place of somebody's own."""
    finders = [finder for finder in sys.meta_path if hasattr(finder, "find_distributions")]
    return finders == [PathFinder] and not any(map(_is_archive, sys.path))


def _is_archive(place: str) -> bool:
    return place.endswith(".egg") or os.path.isfile(place)  # noqa: PTH113  (Path raises where it may not look)


def _in_folders(group: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for text in _texts():
        inside = False
        for line in map(str.strip, text.splitlines()):
            if line.startswith("[") and line.endswith("]"):
                inside = line.strip("[]") == group
            elif inside and line and not line.startswith("#"):
                name, _, value = line.partition("=")
                found[name.strip()] = value.strip()
    return found


def _texts() -> Iterator[str]:
    """What each distribution declares; of several installations of one the first on the path counts."""
    known = set()
    for place in sys.path:
        names: list[str] = []
        with suppress(OSError, ValueError):  # not there or closed to us: Python passes over it, too
            names = os.listdir(place or ".")  # noqa: PTH208  (a Path for each of thousands of names takes longer)
        for entry in names:
            if not entry.endswith((".dist-info", ".egg-info")):
                continue
            name = re.sub(r"[-_.]+", "_", entry.rpartition(".")[0].partition("-")[0]).lower()
            if name not in known:
                known.add(name)
                with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError):
                    yield Path(place, entry, "entry_points.txt").read_text(encoding="utf-8")
