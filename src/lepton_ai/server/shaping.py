"""Every struct is worked out before there are threads.

What msgspec learns about a type when it first decodes it is seen half made by a thread that decodes the same type just
then, and the process dies of a segmentation fault (0.22; a load test of a fresh server met it).
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from importlib import import_module

import msgspec

import lepton_ai

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
        msgspec.json.Decoder(kind)
    except (TypeError, NameError):  # holds what JSON has not: it never travels
        return False
    return True


def kinds(of: type[msgspec.Struct] = msgspec.Struct) -> Iterator[type[msgspec.Struct]]:
    """The structs of this package that are imported."""
    for kind in of.__subclasses__():
        if kind.__module__.partition(".")[0] == lepton_ai.__name__:
            yield kind
        yield from kinds(kind)
