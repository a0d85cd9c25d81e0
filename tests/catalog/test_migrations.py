"""Every earlier form of the database comes up to date, loses nothing, and a copy of it is kept."""

from __future__ import annotations

import multiprocessing
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import MetaData, inspect, text
from sqlalchemy.engine import Connection

from lepton_ai.catalog import backups, connecting, migrating, tables
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.dumps import tables_of
from lepton_ai.catalog.migrations import steps
from lepton_ai.catalog.tables import METADATA
from lepton_ai.catalog.tables.types import Bytes, Words
from lepton_ai.errors import AlreadyExists, Damaged, TooNew, Unsupported
from tests.catalog.filling import fill
from tests.services import Service

STEPS = migrating.steps()


def nothing(_now: str, _step: str) -> None:
    """No copies."""


def rows(connection: Connection) -> dict[str, list[tuple[Any, ...]]]:
    """Everything in the database, by table."""
    return {
        table.name: [
            tuple(row) for row in connection.execute(table.select().order_by(*table.primary_key.columns))
        ]
        for table in tables_of(connection)
    }


@pytest.fixture
def empty(fresh: str, tmp_path: Path) -> Iterator[Catalog]:
    made = Catalog(fresh, backups=tmp_path / "kept")
    yield made
    made.close()


def test_the_steps_are_one_line() -> None:
    script = ScriptDirectory(str(migrating.FOLDER))
    line = [revision.revision for revision in script.walk_revisions()][::-1]
    assert line == STEPS
    assert all(getattr(script.get_revision(step).module, "downgrade", None) is None for step in STEPS)


@pytest.mark.parametrize("step", STEPS)
def test_every_earlier_form_comes_up_to_date_and_loses_nothing(
    empty: Catalog, step: str, tmp_path: Path, service: Service | None
) -> None:
    migrating.bring_up_to_date(empty.engine, nothing, step)
    with empty.writing() as connection:
        fill(connection)
    with empty.reading() as connection:
        before = rows(connection)
    assert all(before.values()), "a table without a row proves nothing"
    empty.migrate()
    empty.check()
    with empty.reading() as connection:
        after = rows(connection)
        kept = {table.name: table.columns.keys() for table in tables_of(connection)}
    for name, old in before.items():
        assert len(old) == len(after[name]), name
        assert {row[: len(old[0])] for row in after[name]} == set(old), f"{name} {kept[name]}"
    copies = sorted(path.name.rpartition("-")[2] for path in (tmp_path / "kept").glob("*"))
    assert copies == STEPS[STEPS.index(step) + 1 :]
    empty.migrate()  # nothing more to do
    assert len(list((tmp_path / "kept").glob("*"))) == len(copies)


@pytest.mark.parametrize("step", STEPS)
def test_a_kept_copy_can_be_brought_back(
    empty: Catalog, step: str, tmp_path: Path, service: Service | None
) -> None:
    migrating.bring_up_to_date(empty.engine, nothing, step)
    with empty.writing() as connection:
        fill(connection)
    with empty.reading() as connection:
        before = rows(connection)
    copy = backups.keep(empty.engine, tmp_path / "kept", step, "9999")
    if service is None:
        with connecting.reading(Catalog(f"sqlite:///{copy}").engine) as connection:
            assert rows(connection) == before
        return
    with pytest.raises(AlreadyExists):
        empty.restore(copy)
    other = Catalog(service.fresh())
    other.restore(copy)
    with other.reading() as connection:
        assert migrating.step_of(connection) == step
        assert rows(connection) == before
    other.migrate()
    other.close()
    lite = Catalog(f"sqlite:///{tmp_path}/from-a-server.db")
    lite.restore(copy)
    with lite.reading() as connection:
        assert rows(connection) == before
    lite.close()


@pytest.mark.parametrize("kind", ["postgresql"], scope="session", indirect=True)
def test_a_copy_that_was_changed_is_refused(service: Service, tmp_path: Path) -> None:
    source = Catalog(service.fresh())
    source.migrate()
    with source.writing() as connection:
        fill(connection)
    copy = backups.keep(source.engine, tmp_path, STEPS[-1], "9999")
    file = copy / "refs.jsonl"
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    target = Catalog(service.fresh())
    with pytest.raises(Damaged, match="not as it was written"):
        target.restore(copy)
    with target.reading() as connection:
        assert not any(rows(connection).values())
    target.close()
    (copy / "list.json").unlink()
    other = Catalog(service.fresh())
    with pytest.raises(Damaged, match="no whole dump"):
        other.restore(copy)
    other.close()
    source.close()


def test_no_file_of_tables_is_forgotten() -> None:
    """Copies hold the tables of those that ``catalog/tables/__init__.py`` imports."""
    files = {file.stem for file in Path(tables.__file__).parent.glob("*.py")} - {"__init__", "types"}
    assert files == {name for name in tables.__all__ if name != "METADATA"}


def test_tables_are_as_the_program_thinks(catalog: Catalog) -> None:
    """The migrations and ``catalog/tables`` say the same: columns, keys, indexes."""
    there = MetaData()
    with catalog.reading() as connection:
        there.reflect(connection)
    assert set(there.tables) == {*METADATA.tables, migrating.VERSION_TABLE}
    for name, table in METADATA.tables.items():
        found = there.tables[name]
        assert [(c.name, c.nullable) for c in found.columns] == [(c.name, c.nullable) for c in table.columns]
        assert found.primary_key.columns.keys() == table.primary_key.columns.keys()
        odd = {c.name for c in found.columns if c.type.python_type is bytes} ^ {
            c.name for c in table.columns if isinstance(c.type, Bytes | Words)
        }
        assert not odd
        with catalog.reading() as connection:
            seen = inspect(connection)
            indexes = {i["name"]: (i["column_names"], bool(i["unique"])) for i in seen.get_indexes(name)}
            unique = {u["name"] for u in seen.get_unique_constraints(name)}
        for index in table.indexes:
            assert indexes[index.name] == (index.columns.keys(), bool(index.unique))
        known = {index.name for index in table.indexes} | unique
        foreign = {i for i in indexes if i not in known and indexes[i][0] != ["repository"]}
        assert not foreign


def test_an_older_form_is_told(empty: Catalog) -> None:
    with pytest.raises(Unsupported, match="form none"):
        empty.check()


def test_a_newer_form_is_left_alone(empty: Catalog) -> None:
    empty.migrate()
    with empty.writing() as connection:
        connection.execute(text(f"UPDATE {migrating.VERSION_TABLE} SET version_num = '9999'"))
    for act in (empty.migrate, empty.check):
        with pytest.raises(TooNew, match="9999"):
            act()


def test_tables_of_others_are_left_alone(empty: Catalog) -> None:
    with empty.writing() as connection:
        connection.execute(text("CREATE TABLE versions (number INTEGER)"))
    with pytest.raises(Damaged, match="another program"):
        empty.migrate()


def _migrate(url: str, folder: Path, start: Any, told: Any) -> None:
    catalog = Catalog(url, backups=folder)
    start.wait()
    try:
        catalog.migrate()
        catalog.check()
        told.put("fine")
    except BaseException as problem:
        told.put(repr(problem))
        raise
    finally:
        catalog.close()


def test_servers_that_start_at_once_migrate_once(fresh: str, tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    start, told = spawn.Barrier(3), spawn.Queue()
    servers = [spawn.Process(target=_migrate, args=(fresh, tmp_path / "kept", start, told)) for _ in range(3)]
    for server in servers:
        server.start()
    assert [told.get(timeout=60) for _ in servers] == ["fine"] * 3
    for server in servers:
        server.join()


@pytest.mark.parametrize("kind", ["mariadb"], scope="session", indirect=True)
def test_half_a_step_is_gone_on_with(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """MariaDB keeps the tables that a killed step has made."""
    made, url = steps.create_index, service.fresh()

    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    catalog = Catalog(url)
    monkeypatch.setattr("lepton_ai.catalog.migrations.steps.create_index", dies)
    with pytest.raises(KeyboardInterrupt):
        catalog.migrate()
    with catalog.reading() as connection:
        assert inspect(connection).has_table("repositories")
        assert migrating.step_of(connection) == ""
    monkeypatch.setattr("lepton_ai.catalog.migrations.steps.create_index", made)
    catalog.migrate()
    catalog.check()
    with catalog.reading() as connection:
        assert "versions_by_id" in {index["name"] for index in inspect(connection).get_indexes("versions")}
    catalog.close()


def test_a_copy_that_fails_stops_the_step(tmp_path: Path) -> None:
    catalog = Catalog(f"sqlite:///{tmp_path}/catalog.db")
    migrating.bring_up_to_date(catalog.engine, nothing, STEPS[0])

    def refuses(_now: str, _step: str) -> None:
        raise OSError("no room")

    if len(STEPS) > 1:
        with pytest.raises(OSError, match="no room"):
            migrating.bring_up_to_date(catalog.engine, refuses)
    with catalog.reading() as connection:
        assert migrating.step_of(connection) == STEPS[0]
    catalog.close()
    with sqlite3.connect(tmp_path / "catalog.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
