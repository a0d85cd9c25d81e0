"""What is needed, dropping what is not, and moving together what is left."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pytest

from lepton_ai.errors import Damaged, NotFound, StorageFailed
from lepton_ai.store.store import Store
from tests.store.house import BLOCK_SIZE, House, block_ids, flip, noise, tuned, weights


def test_nothing_is_needed_without_roots(house: House) -> None:
    house.tensor(noise(20_000))
    (use,) = house.store.live([])
    assert (use.live, use.dead, use.live_objects, use.objects) == (0, use.size, 0, 5)
    assert use.size == house.packs()[0].stat().st_size


def test_everything_is_needed(house: House) -> None:
    added, _ = house.tensor(noise(20_000))
    (use,) = house.store.live([*block_ids(added.content), *block_ids(added.content), bytes(32)])
    assert (use.live, use.dead, use.live_objects) == (use.size, 0, 5)


def test_bases_of_living_edges_live(house: House) -> None:
    old = weights(5000)
    one, first = house.tensor(old.tobytes())
    two, second = house.tensor(tuned(old).tobytes(), one.content)
    uses = {use.pack: use for use in house.store.live(block_ids(two.content))}
    assert uses[first.packs[0]].dead == uses[second.packs[0]].dead == 0
    uses = {use.pack: use for use in house.store.live(block_ids(one.content))}
    assert uses[first.packs[0]].dead == 0
    assert uses[second.packs[0]].live == 0


def test_a_part_of_a_pack(house: House) -> None:
    added, _ = house.tensor(noise(10 * BLOCK_SIZE))
    (use,) = house.store.live(block_ids(added.content)[:3])
    assert use.live_objects == 3
    assert 7 * BLOCK_SIZE < use.dead < 7 * BLOCK_SIZE + 1000
    assert use.live + use.dead == use.size


def test_of_two_copies_one_is_garbage(house: House) -> None:
    data = noise(4096)
    ids = house.plant([(data, None)])
    house.plant([(data, None)])
    assert sorted(use.live > 0 for use in house.store.live(ids)) == [False, True]


def test_packs_of_others_and_of_the_dead_are_seen(house: House) -> None:
    with house.again() as other:
        other.store._index.path = house.root / "elsewhere.db"
        _, written = other.tensor(noise(5000))
    assert [use.pack for use in house.store.live([])] == list(written.packs)


def test_dropping(house: House) -> None:
    one, first = house.tensor(noise(20_000))
    two, second = house.tensor(noise(20_000, seed=1))
    house.store.drop(first.packs)
    assert house.load(two.content) == noise(20_000, seed=1)
    with pytest.raises(Damaged):
        house.load(one.content)
    assert [info.name for info in house.store.packs()] == list(second.packs)
    house.store.drop(first.packs)
    house.store.drop([])
    assert list(house.store.verify(fast=False)) == []
    again, written = house.tensor(noise(20_000))
    assert written.packs
    assert house.load(again.content) == noise(20_000)


@pytest.mark.parametrize("moment", ["before the files", "after the files"])
def test_a_drop_that_died_is_completed(house: House, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    class Died(BaseException):
        pass

    def die(names: Iterable[str]) -> None:
        if moment == "after the files":
            delete(names)
        raise Died

    one, first = house.tensor(noise(20_000))
    delete = house.blobs.delete
    monkeypatch.setattr(house.blobs, "delete", die)
    with pytest.raises(Died):
        house.store.drop(first.packs)
    monkeypatch.undo()
    with house.again() as other:
        with pytest.raises(Damaged):
            other.load(one.content)
        assert other.store.packs() == [], "a refresh does not bring it back"
        same, second = other.tensor(noise(20_000))
        assert second.packs, "nobody relies on it any more"
        other.store.drop([])
        assert [path.stem for path in house.packs()] == list(second.packs)
        assert other.load(same.content) == noise(20_000)
        assert list(other.store.verify(fast=False)) == []


@pytest.mark.parametrize("may_write", [True, False])
def test_readers_go_on_while_packs_are_moved(
    house: House, monkeypatch: pytest.MonkeyPatch, may_write: bool
) -> None:
    """A reader with an old view is led to the new place, also when the index is not its own to write."""
    added, first = house.tensor(noise(20_000))
    with house.again() as reader:
        places = reader.store._index.find(block_ids(added.content))
        assert house.store.compact(first.packs, block_ids(added.content)) != tuple(first.packs)
        house.store.drop(first.packs)
        find = reader.store._index.find
        old = [places]
        monkeypatch.setattr(reader.store._index, "find", lambda ids: old.pop() if old else find(ids))
        if not may_write:
            monkeypatch.setattr(reader.store._index, "write", _read_only)
        assert reader.load(added.content) == noise(20_000)


def _read_only(_work: object) -> None:
    raise StorageFailed("attempt to write a readonly database")


def test_a_reader_with_an_index_of_its_own_finds_what_was_moved(house: House, tmp_path: Path) -> None:
    """Of a repository that it may not write to; what it knows of packs is older than the move."""
    added, first = house.tensor(noise(20_000))
    own = Store(house.blobs, tmp_path / "own.db", house.keyring, tmp_path / "tmp", block_size=BLOCK_SIZE)
    assert own.read(added.content, 0, 20_000) == noise(20_000)
    house.store.compact(first.packs, block_ids(added.content))
    house.store.drop(first.packs)
    assert own.read(added.content, 0, 20_000) == noise(20_000)
    own.close()


def test_compaction_keeps_the_living_as_stored(house: House) -> None:
    old = weights(10 * BLOCK_SIZE // 4)
    one, first = house.tensor(old.tobytes())
    two, second = house.tensor(tuned(old).tobytes(), one.content)
    keep = [*block_ids(one.content)[:2], block_ids(two.content)[5]]
    names = house.store.compact([*first.packs, *second.packs], keep)
    assert len(names) == 1, "small ones become one"
    before = {use.pack: use.live for use in house.store.live(keep)}
    assert before[first.packs[0]] == before[second.packs[0]] == 0
    assert [use.live_objects for use in house.store.live(keep) if use.pack == names[0]] == [4]
    house.store.drop([*first.packs, *second.packs])
    assert house.store.read(one.content, 0, 2 * BLOCK_SIZE) == old.tobytes()[: 2 * BLOCK_SIZE]
    expected = tuned(old).tobytes()[5 * BLOCK_SIZE : 6 * BLOCK_SIZE]
    assert house.store.read(two.content, 5 * BLOCK_SIZE, BLOCK_SIZE) == expected
    assert list(house.store.verify(fast=False)) == []


def test_compaction_of_nothing_living(house: House) -> None:
    _, first = house.tensor(noise(5000))
    assert house.store.compact(first.packs, []) == ()
    with pytest.raises(NotFound):
        house.store.compact(["0" * 64], [])


def test_compaction_does_not_spread_damage(house: House) -> None:
    added, first = house.tensor(noise(5000))
    flip(house.packs()[0], 1000)
    with pytest.raises(Damaged):
        house.store.compact(first.packs, block_ids(added.content))
    assert house.leftovers() == []
    assert len(house.packs()) == 1
