"""The index's file: its form, its size, and that what it is asked does not grow with it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lepton_ai.store import index as index_module
from lepton_ai.store import indexfile, routes
from lepton_ai.store.codecs import CODECS
from tests.store.house import House, block_ids, noise, tuned, weights

SCHEMA_3 = """
    CREATE TABLE state(owner TEXT NOT NULL, complete INTEGER NOT NULL, boot TEXT NOT NULL);
    CREATE TABLE packs(number INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, size INTEGER NOT NULL,
        objects INTEGER NOT NULL, stored INTEGER NOT NULL, written_at REAL NOT NULL,
        damaged INTEGER NOT NULL DEFAULT 0);
    CREATE TABLE objects(id BLOB NOT NULL, pack INTEGER NOT NULL, place INTEGER NOT NULL, length INTEGER NOT NULL,
        plain INTEGER NOT NULL, base BLOB, depth INTEGER NOT NULL, kind INTEGER NOT NULL,
        damaged INTEGER NOT NULL DEFAULT 0, PRIMARY KEY (id, pack, place)) WITHOUT ROWID;
    CREATE TABLE dropped(name TEXT NOT NULL PRIMARY KEY) WITHOUT ROWID;
    CREATE INDEX bases ON objects(base, depth) WHERE base IS NOT NULL;
    CREATE TABLE sketches(number INTEGER PRIMARY KEY, kind BLOB NOT NULL, place BLOB NOT NULL, seal INTEGER NOT NULL,
        key_id BLOB NOT NULL, body BLOB NOT NULL, sketch BLOB NOT NULL);
    CREATE INDEX alike ON sketches(kind, place);
    PRAGMA user_version = 3;
"""


def _ask(house: House, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(house.root / "index.db")) as connection:
        return connection.execute(query).fetchall()


def _one(house: House, query: str) -> object:
    return _ask(house, query)[0][0]


def test_an_index_of_schema_3_is_made_again(house: House) -> None:
    """As a program from before codecs were in it wrote it: with its pages, and with rows of its own."""
    data = weights(5000).tobytes()
    added, written = house.tensor(data)
    owner = _one(house, "SELECT owner FROM state")
    house.lose_index()
    with closing(sqlite3.connect(house.root / "index.db", isolation_level=None)) as old:
        old.executescript(SCHEMA_3)
        old.execute("INSERT INTO state VALUES (?, 1, '')", (owner,))
        old.execute("INSERT INTO packs VALUES (1, ?, 1, 1000, 1, 1.0, 0)", (written.packs[0],))
        rows = ((noise(32, seed=i), i) for i in range(1000))
        old.executemany("INSERT INTO objects VALUES (?, 1, ?, 1, 1, NULL, 0, 0, 0)", rows)
    before = (house.root / "index.db").stat().st_size
    assert house.load(added.content) == data
    house.store.close()
    assert _one(house, "PRAGMA user_version") == indexfile.SCHEMA
    assert _one(house, "PRAGMA page_size") == indexfile.PAGE
    assert _one(house, "SELECT count(*) FROM objects") == len(block_ids(added.content))
    assert (house.root / "index.db").stat().st_size < before / 3
    assert list(house.store.verify(fast=False)) == []


def test_the_index_knows_the_codecs(house: House) -> None:
    old, new = weights(1000).tobytes(), tuned(weights(1000)).tobytes()
    house.plant([(new, old)], codec="difference")
    house.plant([(noise(4000), None)], codec="raw")
    numbers = {codec.name: codec.number for codec in CODECS.values()}
    house.store.packs()
    found = {codec for (codec,) in _ask(house, "SELECT codec FROM objects")}
    assert found == {numbers["difference"], numbers["raw"]}
    house.lose_index()
    house.store.packs()
    assert {codec for (codec,) in _ask(house, "SELECT codec FROM objects")} == found


def test_ids_that_begin_alike_are_told_apart(house: House) -> None:
    """Eight equal bytes do not happen; whoever makes them happen in the index gets nothing else for it."""
    first, second = noise(4000), noise(4000, seed=1)
    ids = house.plant([(first, None), (second, None)], codec="raw")
    house.store.packs()
    house.store.close()
    stranger = ids[0][:8] + ids[1][8:]
    with closing(sqlite3.connect(house.root / "index.db", isolation_level=None)) as connection:
        connection.execute("UPDATE objects SET id = ? WHERE id = ?", (stranger, ids[1]))
    found = house.store._index.find([ids[0]])
    assert [place.id for place in found[ids[0]]] == [ids[0]]
    assert house.store.get(ids[0]) == first
    assert set(house.store._index.find([ids[0], stranger])) == {ids[0], stranger}


@pytest.mark.parametrize(
    "query",
    [
        index_module._FIND.format("?"),
        index_module._OBJECTS,
        routes._HEIGHTS.format("?"),
        "DELETE FROM objects WHERE pack IN (1)",
    ],
)
def test_what_every_save_asks_reads_no_table_through(house: House, query: str) -> None:
    """A thousand versions later it takes as long as today."""
    house.tensor(weights(5000).tobytes())
    house.store.close()
    with closing(sqlite3.connect(house.root / "index.db")) as connection:
        values = (b"12345678",) * query.count("?")
        plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    assert any(step.startswith("SEARCH") for step in plan)
    assert not [step for step in plan if step.startswith("SCAN")]


def test_the_file_gets_smaller_with_what_it_knows(house: House, tmp_path: Path) -> None:
    packs = []
    for seed in range(12):
        with house.store.writer() as writer:
            for number in range(1500):
                writer.put(seed.to_bytes(4, "little") + number.to_bytes(4, "little"))
            packs += writer.finish().packs
    path = house.root / "index.db"
    before = path.stat().st_size
    house.store.drop(packs[1:])
    assert path.stat().st_size < before / 4
    assert len(house.store._index.objects(packs[0])) == 1500
    house.store.close()
    assert _one(house, "PRAGMA integrity_check") == "ok"


def test_a_file_that_others_use_stays_as_large_as_it_is(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Making it smaller is no reason to wait or to fail."""
    monkeypatch.setattr(indexfile, "MANY_FREE", 1)
    packs = [house.tensor(noise(200_000, seed=seed))[1].packs[0] for seed in range(4)]
    house.store.packs()
    with closing(sqlite3.connect(house.root / "index.db", isolation_level=None)) as other:
        other.execute("PRAGMA user_version")
        before = (house.root / "index.db").stat().st_size
        pack_file = indexfile.pack_file

        def disturbed(connection: sqlite3.Connection) -> None:
            other.execute("BEGIN")
            other.execute("SELECT count(*) FROM packs").fetchall()
            pack_file(connection)
            other.execute("COMMIT")

        monkeypatch.setattr(index_module, "pack_file", disturbed)
        house.store.drop(packs[1:])
        assert (house.root / "index.db").stat().st_size == before
    monkeypatch.undo()
    assert {info.name for info in house.store.packs()} == {packs[0]}
