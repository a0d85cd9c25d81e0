"""The census against counting by hand: what each owner takes, and what would go with it."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing

import numpy as np
import pytest

from lepton_ai.store import census as census_module
from lepton_ai.store import live
from lepton_ai.store.census import NONE, tally
from lepton_ai.store.codecs import CODECS
from tests.store.house import House, noise, tuned, weights


def _forest(house: House, seed: int) -> list[bytes]:
    """Objects in trees, some of them stored in full as well, others twice as a difference, in several packs."""
    rng = random.Random(seed)
    values = [weights(300, seed=seed)]
    edges: list[tuple[bytes, bytes | None]] = [(values[0].tobytes(), None)]
    for number in range(1, 40):
        base = rng.choice([None, *range(len(values))])
        old = values[base] if base is not None else weights(300, seed=1000 + number)
        values.append(tuned(old, seed=number))
        edges.append((values[-1].tobytes(), old.tobytes() if base is not None else None))
        if rng.random() < 0.2:
            edges.append((values[-1].tobytes(), None))
        if rng.random() < 0.1:
            edges.append(edges[-1])
    rng.shuffle(edges)
    for start in range(0, len(edges), 10):
        house.plant(edges[start : start + 10])
    house.store.packs()
    return [house.store._reader.object_id(v.tobytes()) for v in values]


def _needed(house: House, ids: set[bytes]) -> dict[bytes, int]:
    """By hand: bytes of everything that is opened to read these."""
    return {place.id: place.length for place in live.needed(house.store._index, ids)}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("page", [7, 20_000])
def test_it_counts_as_one_would_by_hand(
    house: House, seed: int, page: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(census_module, "AT_ONCE", page)
    ids, rng = _forest(house, seed), random.Random(seed)
    owners = [set(rng.sample(ids, rng.randrange(0, 8))) for _ in range(6)]
    counting = 4
    census = house.store.census()
    found = tally(census, [census.numbers(b"".join(owner)) for owner in owners], counting)
    needs = [_needed(house, owner) for owner in owners]
    named = set().union(*owners)
    for i, owner in enumerate(owners[:counting]):
        others = set().union(*(need for j, need in enumerate(needs) if j != i))
        alone = set(needs[i]) - others
        taken = found.taken[i]
        assert taken.unique_bytes == sum(needs[i][id_] for id_ in alone)
        assert taken.stored_bytes == sum(needs[i][id_] for id_ in owner | (alone - named))
        assert taken.unique_bytes + taken.shared_bytes == taken.stored_bytes
        assert sum(use.stored_bytes for use in taken.codecs) == taken.stored_bytes
        assert sum(use.objects for use in taken.codecs) == taken.blocks == len(owner | (alone - named))
    whole = _needed(house, named)
    assert found.whole.stored_bytes == sum(whole.values())
    assert sum(use.stored_bytes for use in found.whole.codecs) == found.whole.stored_bytes
    counted = set().union(*needs[:counting])
    assert found.left_bytes == sum(length for id_, length in whole.items() if id_ not in counted)


def test_the_length_of_chains_and_the_codecs(house: House) -> None:
    values = [weights(300)]
    for seed in range(3):
        values.append(tuned(values[-1], seed=seed))
    data = [value.tobytes() for value in values]
    ids = house.plant([(data[0], None), *zip(data[1:], data, strict=False)])
    census = house.store.census()
    (taken,) = tally(census, [census.numbers(b"".join(ids))], 1).taken
    assert (taken.blocks, taken.mean_chain, taken.longest_chain) == (4, 1.5, 3)
    told = {use.codec: (use.objects, use.raw_bytes) for use in taken.codecs}
    assert told == {"difference": (3, 3600), "planes": (1, 1200)}
    assert taken.codecs == tuple(sorted(taken.codecs, key=lambda use: -use.stored_bytes))
    house.plant([(data[2], None)])  # a key frame: what stood on it is nearer now
    census = house.store.census()
    (taken,) = tally(census, [census.numbers(b"".join(ids))], 1).taken
    assert (taken.mean_chain, taken.longest_chain) == (0.5, 1)


def test_small_objects_are_no_blocks(house: House) -> None:
    with house.store.writer() as writer:
        id_ = writer.put(b"manifest")
        writer.finish()
    census = house.store.census()
    (taken,) = tally(census, [census.numbers(id_)], 1).taken
    assert (taken.blocks, taken.mean_chain, taken.longest_chain) == (0, 0.0, 0)
    assert sum(use.objects for use in taken.codecs) == 1


def test_what_cannot_be_read_is_not_counted(house: House) -> None:
    """No base, a circle of bases, an id that is nowhere, an empty store."""
    empty = house.store.census()
    assert len(empty.ids) == len(empty.numbers(noise(32))) == 0
    assert tally(empty, [empty.numbers(b"")], 1).whole.stored_bytes == 0
    a, b, c, gone = (weights(300, seed=i).tobytes() for i in range(4))
    ids = house.plant([(a, b), (b, a), (c, gone)], codec="difference")
    census = house.store.census()
    assert len(census.numbers(b"".join(ids))) == 0
    house.plant([(b, None)])
    census = house.store.census()
    assert len(census.numbers(b"".join([*ids, noise(32)]))) == 2
    assert sorted(census.steps.tolist()) == [0, 1]


def test_damaged_full_forms_in_a_circle_end(house: House) -> None:
    """Both would be read by the other's difference, were it not for their damaged full forms: no endless loop."""
    a, b = (weights(300, seed=i).tobytes() for i in range(2))
    ids = house.plant([(a, b), (b, a), (a, None), (b, None)])
    house.store.packs()
    house.store.close()
    with closing(sqlite3.connect(house.root / "index.db", isolation_level=None)) as connection:
        connection.execute("UPDATE objects SET damaged = 1 WHERE base IS NULL")
    census = house.store.census()
    assert len(census.numbers(b"".join(ids))) == 2
    assert census.base.tolist() == [NONE, NONE]


def test_a_codec_of_a_later_program_is_told_by_its_number(house: House) -> None:
    (id_,) = house.plant([(noise(4000), None)], codec="raw")
    house.store.packs()
    house.store.close()
    with closing(sqlite3.connect(house.root / "index.db", isolation_level=None)) as connection:
        connection.execute("UPDATE objects SET codec = 77")
    census = house.store.census()
    (use,) = tally(census, [census.numbers(id_)], 1).whole.codecs
    assert use.codec == "codec 77"
    assert 77 not in CODECS
    assert np.array_equal(census.numbers(id_ + id_), [0])
