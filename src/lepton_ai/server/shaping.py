"""Every module is imported and every struct worked out (:mod:`lepton_ai.decodable`) before the first request.

No request waits for it then, and no two threads import at once.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import msgspec

import lepton_ai
from lepton_ai.decodable import ready

ROOMS = ("lepton_ai.history", "lepton_ai.store", "lepton_ai.catalog", "lepton_ai.server", "lepton_ai.telling")
"""Where structs are that a request may decode; modules that wait for their first use too."""
_APART = ("lepton_ai.catalog.migrations.", "lepton_ai.store.codecs.native.")
"""Scripts, which only Alembic can run, and a library that is none of Python's."""


def prepare() -> int:
    """Work out all structs of this package that can be decoded; how many there are."""
    for room in ROOMS:
        package = import_module(room)
        for found in pkgutil.walk_packages(package.__path__, f"{room}."):
            if not found.name.startswith(_APART):
                import_module(found.name)
    return sum(_decodable(kind) for kind in kinds())


def _decodable(kind: type[msgspec.Struct]) -> bool:
    try:
        ready(kind)
    except (TypeError, NameError):  # holds what nobody decodes: it never travels
        return False
    return True


def kinds(of: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    """The structs of this package that are imported."""
    for kind in of.__subclasses__():
        if kind.__module__.partition(".")[0] == lepton_ai.__name__:
            yield kind
        yield from kinds(kind)
