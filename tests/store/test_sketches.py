"""Bases for tensors of unknown lineage."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.store.contract import Run
from lepton_ai.store.sketches import SAMPLES, Search, sketch
from tests.store.house import House, block_ids, tuned, weights

KEY = bytes(32)


def _of(data: bytes, dtype: str = "float32", reads: list[tuple[int, int]] | None = None) -> bytes:
    def read(offset: int, length: int) -> bytes:
        if reads is not None:
            reads.append((offset, length))
        return data[offset : offset + length]

    return sketch(read, 0, len(data), dtype, KEY)


def _same(one: bytes, other: bytes) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / SAMPLES


def test_a_sketch_reads_little_and_inside_the_tensor() -> None:
    for size in (4096, 4097, 100_003, 8 << 20):
        reads: list[tuple[int, int]] = []
        _of(bytes(size), reads=reads)
        assert sum(length for _, length in reads) <= 64 << 10
        assert all(offset >= 0 and offset + length <= size for offset, length in reads)


def test_a_fine_tune_looks_like_its_parent_and_nothing_else_does() -> None:
    old = weights(50_000)
    assert _same(_of(old.tobytes()), _of(tuned(old, scale=1e-4).tobytes())) > 0.8
    assert _same(_of(old.tobytes()), _of(weights(50_000, seed=5).tobytes())) < 0.1


def test_a_sketch_needs_the_repositorys_key() -> None:
    data = weights(5000).tobytes()

    def read(offset: int, length: int) -> bytes:
        return data[offset : offset + length]

    assert sketch(read, 0, len(data), "float32", KEY) != sketch(
        read, 0, len(data), "float32", bytes(31) + b"1"
    )


@pytest.mark.parametrize("key", ["w", "renamed"])
def test_a_downloaded_fine_tune_finds_its_parent(house: House, key: str) -> None:
    """No parent is told; among many tensors of the same length the right one is taken, and stays as it is."""
    versions = [weights(20_000, seed=seed) for seed in range(5)]
    stored = [house.tensor(values.tobytes()) for values in versions]
    new = tuned(versions[3]).tobytes()
    added, written = house.save(new, [Run(len(new), key, "float32")])
    assert written.bytes < 0.75 * stored[3][1].bytes
    assert written.superseded == frozenset()
    places = [places[0] for places in house.store._index.find(block_ids(added.content)).values()]
    assert {place.base for place in places} == set(block_ids(stored[3][0].content))
    assert house.load(added.content) == new


def test_the_sketch_follows_the_newest_of_a_line(house: House) -> None:
    """Twenty trainings with a parent told leave one sketch; a stranger then differs from the newest."""
    values = weights(20_000)
    added, _ = house.tensor(values.tobytes())
    for seed in range(20):
        values = tuned(values, seed=seed)
        added, _ = house.tensor(values.tobytes(), added.content)
    search = Search(house.store._index, house.keyring)
    assert search.known("float32", values.nbytes) == [b"".join(block_ids(added.content))]
    house.tensor(values.tobytes())
    assert len(search.known("float32", values.nbytes)) == 1


def test_the_index_tells_nothing_of_a_tensor(house: House) -> None:
    """Neither its name nor its type, nor which blocks are its."""
    values = weights(20_000)
    added, _ = house.save(values.tobytes(), [Run(values.nbytes, "encoder.secret.weight", "float32")])
    house.store.close()
    index = (house.root / "index.db").read_bytes()
    assert b"encoder" not in index
    assert b"float32" not in index
    sealed = house.keyring.current.number != 0
    assert (b"".join(block_ids(added.content)) in index) != sealed


def test_what_is_gone_is_no_base(house: House) -> None:
    values = weights(20_000)
    _, written = house.tensor(values.tobytes())
    house.store.drop(written.packs)
    new = tuned(values).tobytes()
    added, _ = house.tensor(new)
    assert house.load(added.content) == new


def test_without_an_index_nothing_is_found_and_nothing_breaks(house: House) -> None:
    values = weights(20_000)
    _, written = house.tensor(values.tobytes())
    house.lose_index()
    new = tuned(values).tobytes()
    with house.again() as again:
        added, second = again.tensor(new)
        assert second.bytes > 0.9 * written.bytes
        assert again.load(added.content) == new


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64", "int8", "int64", "bytes"])
def test_every_type_can_be_saved_without_a_parent(house: House, dtype: str) -> None:
    data = np.random.default_rng(0).bytes(40_000)
    for start in (data, data[::-1], data):
        added, _ = house.tensor(start, dtype=dtype)
        assert house.load(added.content) == start
