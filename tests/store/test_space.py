"""A full disk is a plain error that says where, and leaves everything as it was."""

from __future__ import annotations

import io
import sqlite3
import threading
from pathlib import Path

import pytest

from lepton_ai.errors import NoSpace, StorageFailed, UsageError
from lepton_ai.store.contract import Run
from lepton_ai.store.durable import write_file
from lepton_ai.store.indexfile import open_index
from lepton_ai.store.packs.writer import PackWriter
from tests.store.house import House, noise


def test_a_disk_that_fills_up_while_blocks_are_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, _ = house.tensor(noise(10_000))
    create = PackWriter.__init__

    def onto_a_full_disk(pack: PackWriter, folder: Path, limit: int) -> None:
        create(pack, folder, limit)
        pack._file.close()
        pack._file = Path("/dev/full").open("wb", buffering=0)  # noqa: SIM115  (the pack closes it)

    monkeypatch.setattr(PackWriter, "__init__", onto_a_full_disk)
    with pytest.raises(NoSpace) as caught:
        house.tensor(noise(3 << 20, seed=1))
    assert str(house.root / "tmp") in str(caught.value)
    assert "bytes were to be written" in str(caught.value)
    monkeypatch.undo()
    assert house.leftovers() == []
    assert len(house.packs()) == 1
    assert house.load(kept.content) == noise(10_000)
    again, _ = house.tensor(noise(100_000, seed=1))
    assert house.load(again.content) == noise(100_000, seed=1)


def test_a_disk_that_is_full_when_the_index_is_written(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.tensor(noise(10_000))
    house.store.close()

    def small(path: Path, owner: str) -> sqlite3.Connection:
        connection = open_index(path, owner)
        connection.execute(f"PRAGMA max_page_count = {connection.execute('PRAGMA page_count').fetchone()[0]}")
        return connection

    monkeypatch.setattr("lepton_ai.store.index.open_index", small)
    data = noise(400_000, seed=1)
    with pytest.raises(NoSpace):
        house.save(data, [Run(100, f"t{i}") for i in range(4000)])
    monkeypatch.undo()
    assert house.leftovers() == []
    assert list(house.store.verify(fast=False)) == []
    added, _ = house.tensor(data)
    assert house.load(added.content) == data


def test_a_small_file_is_written_as_a_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    path = tmp_path / "file"
    write_file(path, b"old", 0o600)

    def refuse(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(NoSpace, match="3 bytes were to be written"):
        write_file(path, b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"
    write_file(path, b"new")
    assert path.read_bytes() == b"new"


def test_a_folder_that_cannot_be_written(house: House) -> None:
    (house.root / "tmp").write_bytes(b"a file is in the way")
    with pytest.raises(StorageFailed):
        house.tensor(noise(5000))


def test_a_reader_that_cannot_write_on_leaves_no_thread(house: House) -> None:
    """The consumer of a copy fails: while its error is handled nothing works on in the background."""
    added, _ = house.save(noise(8 << 20), [Run(8 << 20, "w", "float32")])
    before = set(threading.enumerate())

    def full(data: bytes) -> None:
        raise OSError(28, "No space left on device")

    try:
        house.store.copy(added.content, full)
    except OSError:
        assert set(threading.enumerate()) <= before
    else:
        pytest.fail("the error was swallowed")
    out = io.BytesIO()
    house.store.copy(added.content, out.write)
    assert out.getvalue() == noise(8 << 20)


def test_packs_grow_with_what_is_saved(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them stay open until the save counts, and a process may not open thousands of files."""
    monkeypatch.setattr("lepton_ai.store.packs.writer.HEAD_PACK_SIZE", 5000)
    monkeypatch.setattr("lepton_ai.store.packs.writer.MANY", 4)
    data = noise(1_000_000)
    added, written = house.tensor(data)
    assert 10 < len(written.packs) < 30, "200 if they were all of the same size"
    assert house.load(added.content) == data


def test_a_writer_whose_small_object_failed_takes_nothing_more(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The object counted as written already: a second try would store nothing."""
    with house.store.writer() as writer:
        with monkeypatch.context() as patch:
            patch.setattr("lepton_ai.store.packs.writer.Row.append", _no_space)
            with pytest.raises(NoSpace):
                writer.put(b"small")
        with pytest.raises(UsageError):
            writer.put(b"small")


def _no_space(*_: object) -> None:
    raise NoSpace("no space left")
