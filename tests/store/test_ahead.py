"""Older blocks are looked up hundreds at a time, before they are needed."""

from __future__ import annotations

import io

import numpy as np
import pytest

from lepton_ai.store import ahead
from lepton_ai.store.codecs import tiles
from lepton_ai.store.codecs.choice import full
from lepton_ai.store.codecs.elements import element_of
from lepton_ai.store.codecs.native import kernel
from lepton_ai.store.contract import Run
from lepton_ai.store.pairing import Pairing
from tests.store.house import House, noise, weights

STREAMS, NUMBERS = 1300, 256
PLAN = [Run(4 * NUMBERS, f"layer.{i}", "float32") for i in range(STREAMS)]
LISTED = [(run.key, run.dtype, run.length) for run in PLAN]


def _saved(house: House, seed: int, base: object = None) -> tuple[object, bytes]:
    data = weights(STREAMS * NUMBERS, seed=seed).tobytes()
    with house.store.writer(turn=True) as writer:
        added = writer.add(io.BytesIO(data), PLAN, base)  # type: ignore[arg-type]
        writer.finish()
    return added.content, data


def test_a_file_of_many_tensors_takes_few_questions(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = _saved(house, 1)
    asked: list[int] = []
    look_up = ahead.look_up

    def counting(index, ids, avoid, *, tall):  # type: ignore[no-untyped-def]
        wanted = list(ids)
        asked.append(len(wanted))
        return look_up(index, wanted, avoid, tall=tall)

    monkeypatch.setattr("lepton_ai.store.ahead.look_up", counting)
    monkeypatch.setattr("lepton_ai.store.coder.look_up", counting)
    second, data = _saved(house, 2, first)
    assert asked == [512, 512, 276]
    assert house.store.read(second, 0, len(data)) == data  # type: ignore[arg-type]


def test_what_is_known_covers_a_group_that_begins_in_the_window_before(house: House) -> None:
    content, _ = _saved(house, 1)
    pairing = Pairing([content])  # type: ignore[list-item]
    look = ahead.Ahead(house.store._index, (), pairing, LISTED, tall=True)
    blocks = [pairing.block(key, dtype, 0, length) for key, dtype, length in LISTED]
    for reached in (0, 511, 512, 600, 1299):
        known = look.known(reached)
        for number in range(max(0, reached - 64), reached + 1):
            way = known.ways[blocks[number] or b""]
            assert way is not None
            assert [place.id for place in way] == [blocks[number]]


def test_packs_to_be_avoided_give_no_way(house: House) -> None:
    content, _ = _saved(house, 1)
    packs = {info.name for info in house.store.packs()}
    look = ahead.Ahead(house.store._index, packs, Pairing([content]), LISTED, tall=True)  # type: ignore[list-item]
    assert set(look.known(0).ways.values()) == {None}


@pytest.mark.skipif(kernel() is None, reason="tiles are written by the kernel only")
def test_what_were_weights_is_judged_no_more() -> None:
    element = element_of("float32")
    data = weights(65536).tobytes()
    assert full(data, element, like=tiles.FULL.number) == full(data, element)


@pytest.mark.parametrize("like", [None, tiles.FULL.number, 99])
def test_what_was_chosen_before_never_makes_a_block_larger_than_it_is(like: int | None) -> None:
    element = element_of("float32")
    for data in (noise(65536), b"", b"x" * 49, np.zeros(65536, np.float32).tobytes()):
        coded = full(data, element, like=like)
        assert len(coded.data) <= len(data)
        assert bytes(coded.codec.decode(coded.data, coded.codec.version, element, None, len(data))) == data
