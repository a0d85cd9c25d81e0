"""Decoding a file where it belongs; that it is the same as reading it is tested wherever reading is."""

from __future__ import annotations

import pytest

from lepton_ai.errors import UsageError
from lepton_ai.store.contract import Run
from tests.store.house import House, noise


def test_a_room_of_another_length_is_not_filled(house: House) -> None:
    added, _ = house.tensor(noise(100))
    for length in (99, 101):
        with pytest.raises(UsageError):
            house.store.fill(added.content, memoryview(bytearray(length)))


def test_pieces_of_one_block_are_fetched_together(house: House) -> None:
    """Tiny tensors between larger ones lie in an opaque block, piece by piece."""
    plan, parts = list[Run](), list[bytes]()
    for number in range(200):
        plan += [Run(400, f"w{number}", "float32"), Run(8)]
        parts += [noise(400, seed=number), noise(8, seed=1000 + number)]
    added, _ = house.save(b"".join(parts), plan)
    house.blobs.reset()
    assert house.filled(added.content) == b"".join(parts)
    assert house.blobs.gets < 20
