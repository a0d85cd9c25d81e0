"""All of our tables as files that need no database to be read: a folder with JSON Lines for each, and a list.

``list.json`` names the step, and every table with its rows and the SHA-256 of its file. A table's first line names
its columns, each further line is a row; bytes are Base64.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from sqlalchemy.engine import Connection

_BATCH = 500


class Dumped(msgspec.Struct, frozen=True):
    """A table of a dump: how many rows, and the SHA-256 of its file (hexadecimal)."""

    name: str
    rows: int
    sha256: str


class Listed(msgspec.Struct, frozen=True):
    """What a dump holds. ``step`` is the migration that the tables are of."""

    step: str
    tables: tuple[Dumped, ...]


def dump(connection: Connection, target: Path) -> None:
    """Write every table of ours, as ``connection`` sees them, to the folder ``target``, which appears when it is whole.

    An older dump of the same name is replaced.
    """
    raise NotImplementedError
