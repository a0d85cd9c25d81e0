"""Files in, the same files out, with nothing stored or read that need not be."""

from __future__ import annotations

import io
import os
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.errors import Busy, Damaged, UsageError
from lepton_ai.store.coder import LONGEST_FORWARD
from lepton_ai.store.contract import Content, Run
from tests.store.house import BLOCK_SIZE, House, block_ids, flip, noise, tuned, weights
from tests.store.test_blocks import plans

MIB = 1 << 20


# -- what comes out is what went in -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory) -> House:
    """A store that fills up while a property is tried."""
    return House.build(tmp_path_factory.mktemp("standing"), block_size=64)


@settings(deadline=None, max_examples=60)
@given(plan=plans(), data=st.data())
def test_any_bytes_with_any_plan_and_any_base(
    standing: House, plan: tuple[list[Run], int], data: st.DataObject
) -> None:
    runs, _ = plan
    size = sum(run.length for run in runs)
    first = noise(size, seed=data.draw(st.integers(0, 3)))
    changed = bytearray(first)
    for place in data.draw(st.lists(st.integers(0, max(0, size - 1)), max_size=10)):
        if changed:
            changed[place] ^= data.draw(st.integers(0, 255))
    one, _ = standing.save(first, runs)
    two, _ = standing.save(bytes(changed), runs, one.content)
    swapped = [run for run in runs if run.length] if data.draw(st.booleans()) else [Run(size)]
    three, _ = standing.save(first, swapped, two.content)
    for added, expected in ((one, first), (two, bytes(changed)), (three, first)):
        assert standing.load(added.content) == standing.filled(added.content) == expected
        offset = data.draw(st.integers(0, size))
        length = data.draw(st.integers(0, size - offset))
        assert standing.store.read(added.content, offset, length) == expected[offset : offset + length]


def _model(seed: int = 0) -> tuple[bytes, list[Run]]:
    """Something like a real file: header, big and small tensors, padding, a large opaque part in pieces."""
    parts = [
        (noise(1234, seed), Run(1234)),
        (weights(300_000, seed).tobytes(), Run(1_200_000, "big", "float32")),
        (noise(800_000, seed + 1), Run(800_000)),
        (weights(1000, seed).tobytes(), Run(4000, "small", "float32")),
        (b"", Run(0, "empty", "float32")),
        (b"\0" * 100_000, Run(100_000, "zeros", "int64")),
        (noise(900_000, seed + 2), Run(900_000)),
        (b"x", Run(1, "one", "bool")),
    ]
    return b"".join(data for data, _ in parts), [run for _, run in parts]


def test_a_file_of_many_kinds_of_runs(house: House) -> None:
    import hashlib

    data, plan = _model()
    added, written = house.save(data, plan)
    assert house.load(added.content) == house.filled(added.content) == data
    assert added.sha256 == hashlib.sha256(data).digest()
    assert added.size == added.content.size == len(data)
    assert written.bytes == sum(path.stat().st_size for path in house.packs())
    assert len(written.packs) == 2, "what later saves may make needless lies apart"
    assert written.relied == written.superseded == frozenset()
    rng = random.Random(0)
    for _ in range(50):
        offset = rng.randrange(len(data))
        length = rng.choice((0, 1, 10, 5000, 2 * MIB))
        length = min(length, len(data) - offset)
        assert house.store.read(added.content, offset, length) == data[offset : offset + length]


@pytest.mark.parametrize("data", [b"", b"x"])
def test_the_smallest_files(house: House, data: bytes) -> None:
    import hashlib

    added, _ = house.save(data, [Run(len(data))])
    assert house.load(added.content) == data
    assert added.sha256 == hashlib.sha256(data).digest()
    nothing, _ = house.save(b"", [])
    assert house.load(nothing.content) == house.filled(nothing.content) == b""


def test_several_files_and_small_objects_in_one_save(house: House) -> None:
    files = [noise(10_000, seed) for seed in range(5)]
    with house.store.writer() as writer:
        added = [writer.add(io.BytesIO(data), [Run(len(data), "w", "float32")]) for data in files]
        id_ = writer.put(b"manifest")
        assert writer.put(b"manifest") == id_
        empty = writer.put(b"")
        written = writer.finish()
    assert len(written.packs) == 2
    assert [house.load(a.content) for a in added] == files
    assert house.store.get(id_) == b"manifest"
    assert house.store.get(empty) == b""
    with house.again() as again:
        assert again.store.get(id_) == b"manifest"
        assert [again.load(a.content) for a in added] == files


def test_reading_begins_where_the_file_stands(house: House) -> None:
    file = io.BytesIO(b"skip this" + noise(5000))
    file.seek(9)
    with house.store.writer() as writer:
        added = writer.add(file, [Run(5000, "w", "float32")])
        writer.finish()
    assert house.load(added.content) == noise(5000)


# -- equal blocks once ------------------------------------------------------------------------------------------------


def test_saving_the_same_again_stores_nothing(house: House) -> None:
    data, plan = _model()
    one, first = house.save(data, plan)
    two, second = house.save(data, plan)
    assert two == one
    assert second.packs == ()
    assert second.bytes == 0
    assert second.relied == {*block_ids(one.content)}
    assert len(house.packs()) == len(first.packs)


def test_equal_blocks_within_one_save_are_stored_once(house: House) -> None:
    block = noise(BLOCK_SIZE)
    added, written = house.save(block * 50, [Run(20 * BLOCK_SIZE, "a"), Run(30 * BLOCK_SIZE, "b")])
    assert written.bytes < 2 * BLOCK_SIZE
    assert house.load(added.content) == block * 50
    assert house.store.packs()[0].objects == 1


def test_a_changed_block_costs_itself_only(house: House) -> None:
    data = noise(100 * BLOCK_SIZE)
    before, _ = house.tensor(data)
    changed = data[: 50 * BLOCK_SIZE] + noise(BLOCK_SIZE, seed=9) + data[51 * BLOCK_SIZE :]
    added, written = house.tensor(changed)
    assert written.bytes < 2 * BLOCK_SIZE
    assert written.relied == {*block_ids(before.content)} & {*block_ids(added.content)}
    assert house.load(added.content) == changed


def test_ids_depend_on_the_repository(house: House, tmp_path: object) -> None:
    from pathlib import Path

    one, _ = house.tensor(b"data" * 100)
    with House.build(Path(str(tmp_path)) / "other") as other:
        two, _ = other.tensor(b"data" * 100)
        assert not set(block_ids(one.content)) & set(block_ids(two.content))


# -- edges ------------------------------------------------------------------------------------------------------------


def test_a_fine_tune_is_stored_as_edges(house: House) -> None:
    old = weights(50_000)
    one, first = house.tensor(old.tobytes())
    two, second = house.tensor(tuned(old).tobytes(), one.content)
    assert second.bytes < 0.75 * first.bytes
    assert second.relied == {*block_ids(one.content)}
    assert house.load(two.content) == tuned(old).tobytes()
    places = [p for ps in house.store._index.find(block_ids(two.content)).values() for p in ps]
    assert {p.depth for p in places} == {1}
    assert {p.base for p in places} == set(block_ids(one.content))
    assert house.store.stored_bytes([two.content]) < second.bytes
    both = house.store.stored_bytes([one.content, two.content, one.content])
    assert both == house.store.stored_bytes([one.content]) + house.store.stored_bytes([two.content])


def test_a_base_of_another_type_or_length_is_none(house: House) -> None:
    old = weights(5000)
    new = tuned(old).tobytes()
    one, first = house.tensor(old.tobytes())
    for run in (Run(len(new), "w", "int32"), Run(len(new))):
        with house.copy(house.root.parent / f"copy-{run.key}-{run.dtype}") as copy:
            _, written = copy.save(new, [run], one.content)
            assert written.bytes > 0.8 * first.bytes
            assert written.relied == frozenset()
    longer, written = house.tensor(new + noise(40), one.content)
    assert house.load(longer.content) == new + noise(40)
    assert 0 < written.bytes < 0.8 * first.bytes, "blocks before the last one pair all the same"


def test_chains_stay_short_and_key_frames_come(house: House) -> None:
    """Thirty trainings, each from the one before, of which none may become a difference: few bases are opened."""
    values, versions, base = weights(8 * BLOCK_SIZE // 4), [], None
    kinds = set()
    for number in range(30):
        values = tuned(values, seed=number, scale=6e-5)
        added, _ = house.tensor(values.tobytes(), base)
        versions.append((added.content, values.tobytes()))
        base = added.content
        for places in house.store._index.find(block_ids(base)).values():
            assert all(place.depth <= LONGEST_FORWARD for place in places)
            kinds |= {place.depth for place in places}
    assert kinds == {0, 1, 2, 3}
    full = sum(house.store._index.find(block_ids(c))[block_ids(c)[0]][0].base is None for c, _ in versions)
    assert 1 < full < 29, "key frames are neither all nor only the first"
    assert all(house.load(content) == data for content, data in versions)


def test_the_newest_version_costs_the_same_after_many(house: House) -> None:
    """Each is the only one that stands on the one before, which becomes a difference to it."""
    values, base = weights(8 * BLOCK_SIZE // 4), None
    costs = []
    for number in range(40):
        values[:64] = weights(64, seed=number)
        added, _ = house.tensor(values.tobytes(), base, turn=True)
        base = added.content
        if number in (5, 39):
            house.blobs.reset()
            house.load(base)
            costs.append((house.blobs.gets, len(house.blobs.opened), house.blobs.bytes_read))
    (gets, opened, size), (later_gets, later_opened, later_size) = costs
    assert later_gets <= gets
    assert later_opened <= opened
    assert abs(later_size - size) < 200


# -- reading only what is needed --------------------------------------------------------------------------------------


def test_one_tensor_reads_its_own_blocks(house: House) -> None:
    runs = [Run(10 * BLOCK_SIZE, f"t{i}", "float32") for i in range(20)]
    data = noise(200 * BLOCK_SIZE)
    added, _ = house.save(data, runs)
    with house.again() as cold:
        cold.store.packs()
        cold.blobs.reset()
        start = 70 * BLOCK_SIZE
        assert cold.store.read(added.content, start, 10 * BLOCK_SIZE) == data[start : start + 10 * BLOCK_SIZE]
        assert cold.blobs.bytes_read < 11 * BLOCK_SIZE
        assert cold.blobs.gets == 1, "neighbours are read together"
        cold.blobs.reset()
        assert cold.store.read(added.content, start + 5, 10) == data[start + 5 : start + 15]
        assert cold.blobs.bytes_read < BLOCK_SIZE + 200
        cold.blobs.reset()
        assert cold.store.read(added.content, start, 0) == b""
        assert cold.blobs.gets == 0


def test_an_opaque_block_used_all_over_the_file_is_read_once(house: House) -> None:
    runs = [run for i in range(40) for run in (Run(30), Run(20 * BLOCK_SIZE, f"t{i}", "float32"))]
    data = noise(sum(run.length for run in runs))
    added, written = house.save(data, runs)
    house.blobs.reset()
    assert house.load(added.content) == data
    assert house.blobs.bytes_read <= written.bytes


# -- errors -----------------------------------------------------------------------------------------------------------


class Failing(io.BytesIO):
    """Breaks off after some bytes."""

    def __init__(self, data: bytes, after: int, error: BaseException) -> None:
        super().__init__(data)
        self.after, self.error = after, error

    def read(self, size: int | None = -1) -> bytes:
        if self.tell() >= self.after:
            raise self.error
        return super().read(size)


@pytest.mark.parametrize("error", [OSError(5, "broken"), KeyboardInterrupt(), MemoryError()])
def test_an_error_leaves_nothing_visible_and_no_thread(house: House, error: BaseException) -> None:
    import threading

    before = set(threading.enumerate())
    data = noise(20 * MIB)
    with pytest.raises(type(error)), house.store.writer() as writer:
        writer.add(Failing(data, 10 * MIB, error), [Run(len(data), "w", "float32")])
    assert house.packs() == []
    assert house.leftovers() == []
    assert house.store.packs() == []
    assert set(threading.enumerate()) <= before
    added, _ = house.tensor(data)
    assert house.load(added.content) == data


def test_leaving_without_finish_leaves_nothing(house: House) -> None:
    with house.store.writer() as writer:
        added = writer.add(io.BytesIO(noise(10_000)), [Run(10_000)])
    assert house.packs() == house.leftovers() == []
    with pytest.raises(Damaged):
        house.load(added.content)


def test_a_writer_is_used_once(house: House) -> None:
    with house.store.writer() as writer:
        writer.finish()
        for act in (lambda: writer.add(io.BytesIO(b""), []), lambda: writer.put(b"x"), writer.finish):
            with pytest.raises(UsageError):
                act()


def test_after_an_error_a_writer_takes_nothing_more(house: House) -> None:
    """Blocks that were on their way are lost: a later file must not rely on them."""
    data = noise(10_000)
    with house.store.writer() as writer:
        with pytest.raises(UsageError):
            writer.add(io.BytesIO(data), [Run(10_001, "w")])
        with pytest.raises(UsageError):
            writer.finish()


@pytest.mark.parametrize("change", [-1, 1, -3000, 3000])
def test_a_file_that_changes_its_length_is_a_plain_error(house: House, change: int) -> None:
    with house.store.writer() as writer, pytest.raises(UsageError, match="changed while it was read"):
        writer.add(io.BytesIO(noise(10_000 + change)), [Run(10_000)])


def test_what_was_never_put_is_damage(house: House) -> None:
    with pytest.raises(Damaged, match="No pack holds"):
        house.store.get(os.urandom(32))
    added, _ = house.tensor(noise(10_000))
    wrong = block_ids(added.content)[0][::-1]
    assert house.store.missing([*block_ids(added.content), wrong]) == {wrong}


def test_a_block_of_another_length_than_the_content_says_is_damage(house: House) -> None:
    added, _ = house.tensor(noise(100))
    stream = added.content.streams[0]
    import msgspec

    lying = Content(200, BLOCK_SIZE, ((0, 200),), (msgspec.structs.replace(stream, length=200),))
    for read in (house.load, house.filled):
        with pytest.raises(Damaged, match=r"inconsistent"):
            read(lying)


# -- other packs than one's own ---------------------------------------------------------------------------------------


def test_condemned_packs_are_not_relied_on(house: House) -> None:
    old = weights(5000)
    one, first = house.tensor(old.tobytes())
    with house.store.writer(avoid=first.packs) as writer:
        same = writer.add(io.BytesIO(old.tobytes()), [Run(20_000, "w", "float32")])
        edge = writer.add(io.BytesIO(tuned(old).tobytes()), [Run(20_000, "w", "float32")], one.content)
        written = writer.finish()
    assert written.relied == frozenset()
    house.store.drop(first.packs)
    assert house.load(same.content) == old.tobytes()
    assert house.load(edge.content) == tuned(old).tobytes()


def test_what_stands_on_a_pack_that_is_gone_is_not_relied_on(house: House) -> None:
    old = weights(5000)
    one, first = house.tensor(old.tobytes())
    two, _ = house.tensor(tuned(old).tobytes(), one.content)
    _, third = house.tensor(tuned(old).tobytes())
    assert third.packs == ()
    assert third.relied == {*block_ids(two.content)}
    house.store.drop(first.packs)
    _, fourth = house.tensor(tuned(old).tobytes())
    assert fourth.packs, "without its base the edge is no use"
    assert house.load(two.content) == tuned(old).tobytes()


def test_a_pack_that_vanishes_during_a_save_is_noticed(house: House) -> None:
    data = noise(10_000)
    _, first = house.tensor(data)
    with house.store.writer() as writer:
        writer.add(io.BytesIO(data), [Run(10_000, "w", "float32")])
        house.file(first.packs[0]).unlink()
        with pytest.raises(Busy, match="dropped"):
            writer.finish()
    added, _ = house.tensor(data)
    assert house.load(added.content) == data


def test_a_damaged_base_keeps_nobody_from_saving(house: House) -> None:
    from tests.store.house import flip

    old = weights(5000)
    one, first = house.tensor(old.tobytes())
    flip(house.file(first.packs[0]), 3000)
    new = tuned(old).tobytes()
    two, _ = house.tensor(new, one.content)
    assert house.load(two.content) == new


def test_a_base_that_is_not_there_is_no_base(house: House) -> None:
    old = weights(5000)
    with House.build(house.root.parent / "other") as other:
        foreign, _ = other.tensor(old.tobytes())
    new = tuned(old).tobytes()
    added, written = house.tensor(new, foreign.content)
    assert house.load(added.content) == new
    assert written.relied == frozenset()


def test_packs_roll_over(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_ai.store.packs.writer.HEAD_PACK_SIZE", 50_000)
    data = noise(200_000)
    added, written = house.tensor(data)
    assert len(written.packs) == 5
    assert written.bytes == sum(path.stat().st_size for path in house.packs())
    assert house.load(added.content) == data
    assert [info.name for info in house.store.packs()] == [info.name for info in house.store.packs()]
    assert {info.name for info in house.store.packs()} == set(written.packs)


def test_key_rotation_goes_unnoticed(sealed: House) -> None:
    data = noise(10_000)
    one, _ = sealed.tensor(data)
    sealed.keyring.rotate()
    two, _ = sealed.tensor(data[::-1])
    assert sealed.load(one.content) == data
    assert sealed.load(two.content) == data[::-1]
    used = {path.read_bytes()[16 + 12 : 16 + 20] for path in sealed.packs()}
    assert len(used) == 2
    assert list(sealed.store.verify(fast=False)) == []


class Counting:
    """A progress that adds up."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.done = 0

    def start(self, task: str, total: int) -> None:
        self.started.append(total)

    def advance(self, amount: int) -> None:
        self.done += amount


def test_progress(house: House) -> None:
    data, plan = _model()
    saving, copying = Counting(), Counting()
    with house.store.writer(saving) as writer:
        added = writer.add(io.BytesIO(data), plan)
        writer.finish()
    house.store.copy(added.content, lambda part: None, copying)
    assert (saving.done, saving.started) == (copying.done, copying.started) == (len(data), [])
    for fast in (True, False):
        verifying = Counting()
        assert list(house.store.verify(fast=fast, progress=verifying)) == []
        assert verifying.started == [verifying.done] == [sum(path.stat().st_size for path in house.packs())]


def test_weights_of_every_type(house: House) -> None:
    values = np.random.default_rng(0).normal(0, 1, 3000)
    for dtype in ("float64", "float32", "float16", "int8", "int64", "complex64"):
        data = values.astype(dtype).tobytes()
        one, _ = house.save(data, [Run(len(data), "w", dtype)])
        moved = (values * 1.001).astype(dtype).tobytes()
        two, _ = house.save(moved, [Run(len(data), "w", dtype)], one.content)
        assert house.load(one.content) == data
        assert house.load(two.content) == moved


def test_seals_tell_whether_all_of_a_file_is_there(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the bases too, and without decoding anything."""
    values = weights(8 * BLOCK_SIZE // 4)
    one, first = house.tensor(values.tobytes())
    two, second = house.tensor(tuned(values).tobytes(), one.content)
    monkeypatch.setattr("lepton_ai.store.reader.decode", None)
    assert house.store.unharmed(one.content)
    assert house.store.unharmed(two.content)
    for pack, one_is_whole in ((second.packs[0], True), (first.packs[0], False)):
        place = house.store._index.objects(pack)[0]
        flip(house.file(pack), place.offset + place.length - 1)
        assert house.store.unharmed(one.content) is one_is_whole
        assert not house.store.unharmed(two.content)


def test_of_what_no_pack_holds_nothing_is_there(house: House) -> None:
    one, first = house.tensor(weights(BLOCK_SIZE).tobytes())
    house.file(first.packs[0]).unlink()
    assert not house.store.unharmed(one.content)
