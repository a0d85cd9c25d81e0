"""All of our tables as files that need no database to be read: a folder with a file for each, and a list of them.

``list.json`` names the migration that the tables are of, and every table with its number of rows and the SHA-256 of its
file. ``TABLE.jsonl``: the first line names the columns, each further line is a row; bytes are Base64. Any kind of
database can be filled from it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
from sqlalchemy import MetaData, Table, delete, func, insert, inspect, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog import walking
from lepton_ai.catalog.tables import METADATA
from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged
from lepton_ai.store.durable import flush, flush_folder, make_folder, storage_errors, write_file

_BATCH = 500
_LIST = "list.json"


class Dumped(msgspec.Struct, frozen=True):
    """A table of a dump: how many rows, and the SHA-256 of its file (hexadecimal)."""

    name: str
    rows: int
    sha256: str


class Contents(msgspec.Struct, frozen=True):
    """What a dump holds. ``step`` is the migration that the tables are of."""

    step: str
    tables: tuple[Dumped, ...]


def dump(connection: Connection, step: str, target: Path) -> None:
    """Write our tables, as ``connection`` sees them, to the folder ``target``; an older dump there is replaced.

    The folder appears when everything is in it and on the disk.

    Raises:
        NoSpace, StorageFailed.
    """
    partial = target.with_name(f"{target.name}.{os.urandom(4).hex()}.partial")
    with storage_errors(target):
        make_folder(partial, 0o700)  # hashes of passwords are among it
        try:
            tables = tuple(_dump_table(connection, table, partial) for table in tables_of(connection))
            write_file(partial / _LIST, msgspec.json.encode(Contents(step, tables)) + b"\n", 0o600)
            if target.exists():
                shutil.rmtree(target)
            partial.rename(target)
            flush_folder(target.parent)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def read_list(folder: Path) -> Contents:
    """What a dump holds.

    Raises:
        Damaged: it is none, or not whole.
    """
    with storage_errors(folder):
        try:
            return msgspec.json.decode((folder / _LIST).read_bytes(), type=ready(Contents))
        except (FileNotFoundError, msgspec.MsgspecError) as problem:
            raise Damaged(
                f"{folder} is no whole dump of a catalog: {problem}", hint="take another one"
            ) from problem


def fill(connection: Connection, folder: Path) -> None:
    """Put the rows of a dump into the tables, which are those of the same migration; what was in them goes.

    Raises:
        Damaged: a file is not as it was written. Undo everything then.
    """
    tables = {table.name: table for table in tables_of(connection)}
    dumped = {one.name: one for one in read_list(folder).tables}
    if tables.keys() != dumped.keys():
        odd = ", ".join(sorted(tables.keys() ^ dumped.keys()))
        raise Damaged(f"{folder} has not the tables of this database: {odd}", hint="take another one")
    for table in reversed(tables.values()):
        connection.execute(delete(table))
    for name, table in tables.items():
        _fill_table(connection, table, folder / f"{name}.jsonl", dumped[name])
        count_on(connection, table)


def tables_of(connection: Connection) -> list[Table]:
    """Our tables as the database has them, those first that others refer to."""
    there = MetaData()
    ours = set(METADATA.tables) & set(inspect(connection).get_table_names())
    there.reflect(connection, only=sorted(ours))
    return there.sorted_tables


def count_on(connection: Connection, table: Table) -> None:
    """Have the next row numbered after the greatest number in the table. (Only PostgreSQL would not by itself.)"""
    column = table.autoincrement_column
    if column is None or connection.dialect.name != "postgresql":
        return
    greatest = connection.execute(select(func.max(column))).scalar()
    sequence = func.pg_get_serial_sequence(f'"{table.name}"', column.name)
    if greatest is not None and connection.execute(select(sequence)).scalar():
        connection.execute(select(func.setval(sequence, greatest)))


def _dump_table(connection: Connection, table: Table, folder: Path) -> Dumped:
    rows, digest = 0, hashlib.sha256()
    names = [str(column.name) for column in table.columns]
    with (folder / f"{table.name}.jsonl").open("wb") as file:
        line = msgspec.json.encode(names) + b"\n"
        digest.update(line)
        file.write(line)
        for row in chain.from_iterable(walking.walk(connection, table)):
            line = msgspec.json.encode(list(row)) + b"\n"
            digest.update(line)
            file.write(line)
            rows += 1
        file.flush()
        flush(file.fileno())
    return Dumped(str(table.name), rows, digest.hexdigest())


def _fill_table(connection: Connection, table: Table, path: Path, expected: Dumped) -> None:
    with storage_errors(path), path.open("rb") as file:
        digest = hashlib.sha256()
        lines = _lines(file, digest)
        names = msgspec.json.decode(next(lines, b"[]"), type=list[str])
        if set(names) != set(table.columns.keys()):
            raise Damaged(f"{path} has not the columns of the table", hint="take another dump")
        kinds = [table.columns[name].type.python_type for name in names]
        count = 0
        while batch := [_row(names, kinds, line) for line in islice(lines, _BATCH)]:
            connection.execute(insert(table), batch)
            count += len(batch)
    if (count, digest.hexdigest()) != (expected.rows, expected.sha256):
        raise Damaged(f"{path} is not as it was written", hint="take another dump")


def _lines(file: BinaryIO, digest: Any) -> Iterator[bytes]:
    for line in file:
        digest.update(line)
        yield line


def _row(names: list[str], kinds: list[type], line: bytes) -> dict[str, Any]:
    values = msgspec.json.decode(line, type=list[Any])
    return {name: _value(kind, value) for name, kind, value in zip(names, kinds, values, strict=True)}


def _value(kind: type, value: Any) -> Any:
    if value is None:
        return None
    return base64.b64decode(value) if kind is bytes else kind(value)
