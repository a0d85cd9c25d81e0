"""The index may be lost, late, foreign or wrong: what is in the packs is found all the same."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest

from lepton_ai.errors import Busy, Damaged
from lepton_ai.store import index as index_module
from lepton_ai.store import indexfile
from tests.store.house import House, block_ids, flip, noise, tuned, weights


def _filled(house: House) -> list[tuple[bytes, object]]:
    old = weights(5000)
    one, _ = house.tensor(old.tobytes())
    two, _ = house.tensor(tuned(old).tobytes(), one.content)
    return [(old.tobytes(), one.content), (tuned(old).tobytes(), two.content)]


def _rows(house: House) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(house.root / "index.db")
    try:
        query = """SELECT o.id, p.name, p.size, p.objects, p.stored, o.place, o.length, o.plain, o.base, o.depth, o.kind
            FROM objects o JOIN packs p ON p.number = o.pack ORDER BY o.id, p.name, o.place"""
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def test_a_lost_index_is_made_again_the_same(house: House) -> None:
    saved = _filled(house)
    before = _rows(house)
    house.lose_index()
    assert all(house.load(content) == data for data, content in saved)  # type: ignore[arg-type]
    assert _rows(house) == before
    assert len(before) == 10


@pytest.mark.parametrize(
    "how", ["nonsense", "cut", "middle", "empty", "other schema", "other owner", "no table"]
)
def test_a_broken_or_foreign_index_is_made_again(house: House, how: str) -> None:
    saved = _filled(house)
    before = _rows(house)
    house.store.close()
    path = house.root / "index.db"
    data = path.read_bytes()
    connection = sqlite3.connect(path, isolation_level=None) if "o" in how and " " in how else None
    if how == "nonsense":
        path.write_bytes(noise(len(data)))
    elif how == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif how == "middle":
        path.write_bytes(data[:4096] + noise(len(data) - 4096))
    elif how == "empty":
        path.write_bytes(b"")
    elif connection is not None:
        if how == "other schema":
            connection.execute("PRAGMA user_version = 77")
            connection.execute("CREATE TABLE stray(x)")
        elif how == "other owner":
            connection.execute("UPDATE state SET owner = 'somebody'")
        else:
            connection.execute("DROP TABLE objects")
        connection.close()
    assert all(house.load(content) == data for data, content in saved)  # type: ignore[arg-type]
    assert _rows(house) == before
    house.tensor(noise(10_000))
    assert list(house.store.verify(fast=True)) == []


def test_a_file_replaced_while_it_is_open(house: House) -> None:
    """One process mends the index, another one has the old file open."""
    saved = _filled(house)
    with house.again() as other:
        assert other.load(saved[0][1]) == saved[0][0]  # type: ignore[arg-type]
        for end in ("", "-journal"):
            (house.root / f"index.db{end}").unlink(missing_ok=True)
        with house.again() as third:
            added, _ = third.tensor(noise(9000))
            assert other.load(added.content) == noise(9000)
            new, _ = other.tensor(noise(9000, seed=1))
            assert third.load(new.content) == noise(9000, seed=1)
        assert all(other.load(content) == data for data, content in saved)  # type: ignore[arg-type]


def test_another_process_s_packs_are_found(house: House) -> None:
    house.store.packs()
    with house.again() as other:
        other.store._index.path = house.root / "elsewhere.db"
        added, _ = other.tensor(noise(10_000))
        manifest_save = other.store.writer()
        with manifest_save as writer:
            id_ = writer.put(b"manifest")
            writer.finish()
    assert house.load(added.content) == noise(10_000)
    assert house.store.get(id_) == b"manifest"
    assert house.store.missing(block_ids(added.content)) == set()


def test_a_pack_without_its_entry_in_the_index_is_found(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process dies between the rename of the pack and the index."""

    class Died(BaseException):
        pass

    def die(*arguments: object) -> None:
        raise Died

    monkeypatch.setattr(index_module.Index, "add", die)
    with pytest.raises(Died):
        house.tensor(noise(10_000))
    monkeypatch.undo()
    assert house.leftovers() == []
    (use,) = house.store.live([])
    assert use.dead == use.size
    added, written = house.tensor(noise(10_000))
    assert written.packs == ()
    assert house.load(added.content) == noise(10_000)


def test_a_pack_with_a_lost_footer_is_still_readable(house: House) -> None:
    saved = _filled(house)
    for path in house.packs():
        path.write_bytes(path.read_bytes()[:-10])
    house.lose_index()
    assert all(house.load(content) == data for data, content in saved)  # type: ignore[arg-type]


def test_an_index_that_points_to_the_wrong_place_is_corrected(house: House) -> None:
    saved = _filled(house)
    before = _rows(house)
    house.store.close()
    connection = sqlite3.connect(house.root / "index.db", isolation_level=None)
    connection.execute("UPDATE objects SET place = place + 1, length = length - 1")
    connection.close()
    assert all(house.load(content) == data for data, content in saved)  # type: ignore[arg-type]
    assert _rows(house) == before


def test_an_index_that_knows_a_pack_that_is_gone(house: House) -> None:
    saved = _filled(house)
    extra, written = house.tensor(noise(10_000))
    house.file(written.packs[0]).unlink()
    with pytest.raises(Damaged):
        house.load(extra.content)
    assert all(house.load(content) == data for data, content in saved)  # type: ignore[arg-type]
    assert written.packs[0] not in {info.name for info in house.store.packs()}


# -- several representations ------------------------------------------------------------------------------------------


def test_the_cheapest_representation_is_read(house: House) -> None:
    old, new = weights(1000).tobytes(), tuned(weights(1000)).tobytes()
    house.plant([(new, old)])
    house.plant([(old, None)])
    (id_,) = house.plant([(new, None)])
    house.blobs.reset()
    assert house.store.get(id_) == new
    assert len(house.blobs.opened) == 1
    first = house.store._index.find([id_])[id_]
    assert [place.depth for place in first] == [0, 1]


def test_damage_is_gone_round(house: House) -> None:
    old, new = weights(1000).tobytes(), tuned(weights(1000)).tobytes()
    ids = house.plant([(new, None), (old, None)])
    house.plant([(new, old)])
    house.plant([(old, None)], codec="raw")
    full = next(path for path in house.packs() if path.stat().st_size > 6500)
    assert house.store.get(ids[0]) == new
    flip(full, 2000)
    assert house.store.get(ids[0]) == new, "by its edge"
    flip(full, 6000)
    assert house.store.get(ids[0]) == new, "by its edge and the base's other representation"
    assert house.store.get(ids[1]) == old
    for path in house.packs():
        flip(path, 300)
    with pytest.raises(Damaged, match=r"pack [0-9a-f]{64}"):
        house.store.get(ids[0])


def test_chains_of_any_depth_are_read(house: House) -> None:
    values = [weights(500)]
    for number in range(60):
        values.append(tuned(values[-1], seed=number))
    data = [v.tobytes() for v in values]
    ids = house.plant(list(zip(data[1:], data, strict=False)))
    with pytest.raises(Damaged):
        house.store.get(ids[-1])
    house.plant([(data[0], None)])
    assert house.store.get(ids[-1]) == data[-1]
    assert house.store.get(ids[0]) == data[1]


def test_a_circle_of_bases_is_damage_and_no_endless_loop(house: House) -> None:
    a, b, c = (weights(500, seed=i).tobytes() for i in range(3))
    ids = house.plant([(a, b), (b, c), (c, a)], codec="difference")
    for id_ in ids:
        with pytest.raises(Damaged, match="circle"):
            house.store.get(id_)
    assert house.store.missing(ids) == set(ids)
    house.plant([(b, None)])
    assert [house.store.get(id_) for id_ in ids] == [a, b, c]


def test_a_block_that_is_its_own_base_is_damage(house: House) -> None:
    a = weights(500).tobytes()
    (id_,) = house.plant([(a, a)], codec="difference")
    with pytest.raises(Damaged):
        house.store.get(id_)


def test_an_edge_stands_on_an_edge(house: House) -> None:
    """The parent's block is the nearest one; how many bases must be opened is bounded all the same."""
    first = weights(1000)
    one, _ = house.tensor(first.tobytes())
    two, _ = house.tensor(tuned(first).tobytes(), one.content)
    three, _ = house.tensor(tuned(first, seed=5).tobytes(), two.content)
    (id_,) = block_ids(three.content)
    (place,) = house.store._index.find([id_])[id_]
    assert place.base == block_ids(two.content)[0]
    assert place.depth == 2


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_a_held_index_is_waited_for_and_then_reported(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.tensor(noise(5000))
    house.store.close()
    monkeypatch.setattr(indexfile, "TIMEOUT", 0.2)
    holder = sqlite3.connect(house.root / "index.db", isolation_level=None, check_same_thread=False)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(Busy, match="index"):
        house.tensor(noise(5000, seed=1))
    monkeypatch.setattr(indexfile, "TIMEOUT", 30.0)
    house.store.close()
    timer = threading.Timer(0.3, holder.execute, ["COMMIT"])
    timer.start()
    added, _ = house.tensor(noise(5000, seed=2))
    timer.join()
    holder.close()
    assert house.load(added.content) == noise(5000, seed=2)


def test_threads_share_one_store(house: House) -> None:
    added = [house.tensor(noise(20_000, seed=seed))[0] for seed in range(4)]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for _ in range(10):
            if house.load(added[seed].content) != noise(20_000, seed=seed):
                wrong.append(seed)
            house.tensor(noise(5000, seed=100 + seed))

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert list(house.store.verify(fast=False)) == []


def test_opening_a_store_touches_nothing(tmp_path: Path) -> None:
    with House.build(tmp_path / "house"):
        assert sorted(path.name for path in (tmp_path / "house").iterdir()) == ["keys"]


# -- after a power cut ------------------------------------------------------------------------------------------------


def _edit(house: House, *statements: str) -> None:
    house.store.close()
    with closing(sqlite3.connect(house.root / "index.db", isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def _boot_of(house: House) -> str:
    house.store.close()
    with closing(sqlite3.connect(house.root / "index.db")) as connection:
        return str(connection.execute("SELECT boot FROM state").fetchone()[0])


def test_another_start_of_the_machine_is_noted(house: House) -> None:
    """The index is written without waiting for the disk: after a start it is looked through, and kept when whole."""
    added, _ = house.tensor(weights(5000).tobytes())
    before, boot = _rows(house), _boot_of(house)
    _edit(house, "UPDATE state SET boot = 'before'")
    with house.again() as again:
        assert again.load(added.content) == weights(5000).tobytes()
        assert _rows(again) == before
        assert _boot_of(again) == boot


def test_what_a_power_cut_took_from_the_index_is_found_again(house: House) -> None:
    added, _ = house.tensor(weights(5000).tobytes())
    before = _rows(house)
    _edit(house, "DELETE FROM objects", "UPDATE state SET boot = 'before'")
    with house.again() as again:
        assert again.load(added.content) == weights(5000).tobytes()
        assert _rows(again) == before
