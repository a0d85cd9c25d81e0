"""The newest version is kept in full, and what it was made from becomes a difference to it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lepton_ai.errors import Damaged
from lepton_ai.store.coder import LONGEST_FORWARD, TALLEST
from lepton_ai.store.contract import Content, Run, Written
from tests.store.house import BLOCK_SIZE, House, block_ids, flip, noise, tuned, weights

BLOCKS = 4
COUNT = BLOCKS * BLOCK_SIZE // 4


def _settle(house: House, superseded: Sequence[bytes] | frozenset[bytes] | None) -> int:
    """Free what is stored twice, as a save does when it counts; how many packs went."""
    spare = house.store.spare(superseded)
    if spare.partly:
        house.store.compact(spare.partly, spare.lone, avoid=spare.whole)
    going = house.store.independent([*spare.whole, *spare.partly])
    assert set(going) == {*spare.whole, *spare.partly}
    house.store.drop(going)
    return len(going)


def _next(house: House, values: np.ndarray, base: Content | None) -> tuple[Content, Written]:
    added, written = house.tensor(values.tobytes(), base, turn=True)
    _settle(house, written.superseded)
    return added.content, written


def _series(house: House, count: int) -> list[tuple[Content, bytes]]:
    values, base, made = weights(COUNT), None, []
    for number in range(count):
        base, _ = _next(house, values, base)
        made.append((base, values.tobytes()))
        values = tuned(values, seed=number + 1)
    return made


def _steps(house: House, content: Content) -> int:
    """Objects that must be opened at most to read one block of it, itself included."""
    from lepton_ai.store.routes import Routes

    routes = Routes(house.store._index)
    return max(len(routes.route(id_) or ()) for id_ in block_ids(content))


def _pack_bytes(house: House) -> int:
    return sum(path.stat().st_size for path in house.packs())


def test_what_it_was_made_from_becomes_a_difference(house: House) -> None:
    old = weights(COUNT)
    one, first = house.tensor(old.tobytes(), turn=True)
    two, second = house.tensor(tuned(old).tobytes(), one.content, turn=True)
    assert second.superseded == {*block_ids(one.content)}
    assert second.relied == frozenset(), "it stands alone: whatever becomes of the older packs"
    assert _settle(house, second.superseded) == len(first.packs)
    assert not {info.name for info in house.store.packs()} & set(first.packs)
    assert (_steps(house, two.content), _steps(house, one.content)) == (1, 2)
    assert house.load(one.content) == old.tobytes()
    assert house.load(two.content) == tuned(old).tobytes()
    assert list(house.store.verify(fast=False)) == []


def test_after_many_the_newest_needs_no_base_and_no_chain_is_long(house: House) -> None:
    values, base, made = weights(COUNT), None, []
    for number in range(3 * TALLEST + 5):
        base, _ = _next(house, values, base)
        made.append((base, values.tobytes()))
        assert _steps(house, base) == 1
        values = tuned(values, seed=number + 1)
    assert all(house.load(content) == data for content, data in made)
    assert max(_steps(house, content) for content, _ in made) == TALLEST + 1
    assert list(house.store.verify(fast=False)) == []


def test_nothing_is_kept_twice(house: House) -> None:
    made = _series(house, TALLEST)
    kept = house.store.stored_bytes([content for content, _ in made])
    assert _pack_bytes(house) < 1.1 * kept
    assert kept < (0.9 + 0.6 * (TALLEST - 1)) * len(made[0][1])
    assert house.store.spare(None) == ((), (), frozenset())


def test_without_a_turn_the_older_one_stays_as_it_is(house: House) -> None:
    """It is the newest version of another branch, say."""
    old = weights(COUNT)
    one, _ = house.tensor(old.tobytes(), turn=True)
    two, second = house.tensor(tuned(old).tobytes(), one.content)
    assert second.superseded == frozenset()
    assert second.relied == {*block_ids(one.content)}
    assert (_steps(house, one.content), _steps(house, two.content)) == (1, 2)


def test_above_a_long_way_the_newest_is_in_full_and_the_one_below_stands_on_it(house: House) -> None:
    """So it is in a clone, whose versions came as differences to each other: what a push needs is stored then."""
    values, base, made = weights(COUNT), None, []
    for number in range(LONGEST_FORWARD + 1):
        added, _ = house.tensor(values.tobytes(), base)
        base = added.content
        made.append((base, values.tobytes()))
        values = tuned(values, seed=number + 1)
    assert base is not None
    assert _steps(house, base) == LONGEST_FORWARD + 1
    newest, written = _next(house, values, base)
    assert (_steps(house, newest), _steps(house, base)) == (1, 2)
    assert written.superseded == {*block_ids(base)}
    assert all(house.load(content) == data for content, data in [*made, (newest, values.tobytes())])
    assert list(house.store.verify(fast=False)) == []


def test_forward_and_turned_differences_together_stay_bounded(house: House) -> None:
    """Branches everywhere: any version may be the base, with a turn or without."""
    rng = np.random.default_rng(5)
    made = [(_next(house, weights(COUNT), None)[0], weights(COUNT))]
    for number in range(60):
        content, values = made[int(rng.integers(max(0, len(made) - 4), len(made)))]
        new = tuned(values, seed=number + 10)
        added, written = house.tensor(new.tobytes(), content, turn=bool(rng.random() < 0.7))
        if rng.random() < 0.8:  # else it could not be settled: another had the turn
            _settle(house, written.superseded)
        made.append((added.content, new))
    _settle(house, None)
    assert all(house.load(content) == values.tobytes() for content, values in made)
    assert max(_steps(house, content) for content, _ in made) <= TALLEST + LONGEST_FORWARD + 1
    assert list(house.store.verify(fast=False)) == []


def test_what_comes_back_is_not_stored_again(house: House) -> None:
    """There and back again: bases in a circle are never all that is left."""
    one, two = weights(COUNT), tuned(weights(COUNT))
    base, made = None, []
    for number in range(7):
        values = (one, two)[number % 2]
        base, _ = _next(house, values, base)
        made.append((base, values.tobytes()))
        _settle(house, None)
    assert all(house.load(content) == data for content, data in made)
    assert list(house.store.verify(fast=False)) == []


def test_two_that_build_upon_the_same_one_at_once(house: House) -> None:
    old = weights(COUNT)
    one, _ = house.tensor(old.tobytes(), turn=True)
    with house.again() as other:
        import io

        runs = [Run(COUNT * 4, "w", "float32")]
        with house.store.writer(turn=True) as mine, other.store.writer(turn=True) as theirs:
            a = mine.add(io.BytesIO(tuned(old, seed=1).tobytes()), runs, one.content)
            b = theirs.add(io.BytesIO(tuned(old, seed=2).tobytes()), runs, one.content)
            first = mine.finish()
            _settle(house, first.superseded)
            second = theirs.finish()
        _settle(other, second.superseded)
        for view in (house, other):
            assert view.load(one.content) == old.tobytes()
            assert view.load(a.content) == tuned(old, seed=1).tobytes()
            assert view.load(b.content) == tuned(old, seed=2).tobytes()
        assert list(other.store.verify(fast=False)) == []


def test_of_a_pack_that_is_needed_in_part_the_rest_is_copied(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two layers of twelve train: the packs at their border lose what is needless."""
    monkeypatch.setattr("lepton_ai.store.packs.writer.HEAD_PACK_SIZE", 6 * BLOCK_SIZE)
    layers = [weights(2 * BLOCK_SIZE // 4, seed=number) for number in range(12)]
    runs = [Run(2 * BLOCK_SIZE, f"layer.{number}", "float32") for number in range(12)]
    one, first = house.save(b"".join(w.tobytes() for w in layers), runs, turn=True)
    assert len(first.packs) >= 4
    before = [layer.copy() for layer in layers]
    layers[10:] = [tuned(layer) for layer in layers[10:]]
    two, second = house.save(b"".join(w.tobytes() for w in layers), runs, one.content, turn=True)
    assert len(second.superseded) == 4
    assert _settle(house, second.superseded) >= 1
    assert _pack_bytes(house) < 1.05 * house.store.stored_bytes([one.content, two.content])
    assert house.load(one.content) == b"".join(w.tobytes() for w in before)
    assert house.load(two.content) == b"".join(w.tobytes() for w in layers)
    assert list(house.store.verify(fast=False)) == []


def test_a_pack_is_not_dropped_for_one_that_is_only_in_the_index(house: House) -> None:
    old = weights(COUNT)
    one, first = house.tensor(old.tobytes(), turn=True)
    _, second = house.tensor(tuned(old).tobytes(), one.content, turn=True)
    for pack in second.packs:
        house.file(pack).unlink()
    assert house.store.independent(first.packs) == []
    assert house.load(one.content) == old.tobytes()


def test_what_is_damaged_is_no_other_way(house: House) -> None:
    old = weights(COUNT)
    one, first = house.tensor(old.tobytes(), turn=True)
    two, second = house.tensor(tuned(old).tobytes(), one.content, turn=True)
    place = house.store._index.find(block_ids(two.content))[block_ids(two.content)[0]][0]
    flip(house.file(place.pack), place.offset + place.length // 2)
    assert list(house.store.verify(fast=False)) != []
    spare = house.store.spare(second.superseded)
    assert not set(spare.whole) & set(first.packs)
    assert house.store.independent(first.packs) == []
    assert house.load(one.content) == old.tobytes()
    with pytest.raises(Damaged):
        house.load(two.content)


def test_opaque_bytes_find_their_older_ones_in_the_same_file_only(house: House) -> None:
    data = noise(6 << 20)
    one, first = house.save(data, turn=True)
    changed = bytearray(data)
    changed[3_000_000] ^= 1
    two, second = house.save(bytes(changed), base=one.content, turn=True)
    assert second.bytes < first.bytes
    assert len(second.superseded) == 1
    _settle(house, second.superseded)
    assert house.load(one.content) == data
    assert house.load(two.content) == bytes(changed)


def test_readers_go_on_while_what_they_read_is_turned(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader with an old view of the index finds the other way."""
    old = weights(COUNT)
    one, _ = house.tensor(old.tobytes(), turn=True)
    with house.again() as reader:
        places = reader.store._index.find(block_ids(one.content))
        _, second = house.tensor(tuned(old).tobytes(), one.content, turn=True)
        _settle(house, second.superseded)
        find, views = reader.store._index.find, [places]
        monkeypatch.setattr(reader.store._index, "find", lambda ids: views.pop() if views else find(ids))
        assert reader.load(one.content) == old.tobytes()
