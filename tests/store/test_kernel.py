"""The compiled codec: its loops for some processors and for all, and what nobody wrote."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any

import numpy as np
import pytest

from lepton_ai.store.codecs import native, tiles
from lepton_ai.store.codecs.elements import ELEMENTS
from lepton_ai.testing.payloads import examine, lie, samples


@cache
def _kernels() -> list[native.Kernel]:
    library = ctypes.CDLL(str(native.LIBRARY))
    return [native.Kernel(library), native.Kernel(library, narrow=True)]


@pytest.mark.parametrize("share", [0.0, 0.02, 1.0])
@pytest.mark.parametrize("size", [100_000, 100_037])
@pytest.mark.parametrize("element", sorted(set(map(tiles.shape, ELEMENTS.values()))))
def test_wide_and_narrow_loops_are_the_same(element: tuple[int, int, int], size: int, share: float) -> None:
    """Long enough for whole groups of tiles, with what the wide loops leave to the others here and there."""
    width, mantissa, exponent = element
    generator = np.random.default_rng([*element, size])
    word = np.dtype(f"<u{width}")
    top = np.uint64((1 << 8 * width) - 1)
    scale = 2.0 ** generator.integers(-3, 4, size // 128 + 1).repeat(128)[:size]
    steps = (generator.standard_normal(size) * scale * 40).astype(np.int64)
    anything = generator.integers(0, top, size, np.uint64, endpoint=True)
    old = _near_one(generator, size, mantissa, exponent).astype(np.uint64) & top
    old[generator.random(size) < 0.01] = 0
    new = (old.astype(np.int64) + steps * (generator.random(size) < 0.7)).astype(np.uint64)
    decayed = old.astype(np.int64) - generator.integers(60, 90, size)
    new[size // 2 : size // 2 + 9000] = decayed[size // 2 : size // 2 + 9000]
    new = np.where(generator.random(size) < share / 50, anything, new) & top
    plain, base = new.astype(word).tobytes(), old.astype(word).tobytes()
    for given in (base, None) if exponent else (base,):
        wide, narrow = (k.encode(plain, given, size, width, mantissa, exponent) for k in _kernels())
        assert wide == narrow
        if wide is None:
            continue
        for kernel in _kernels():
            back = bytearray(len(plain))
            assert kernel.decode(wide, given, size, width, back)
            assert back == plain


def _near_one(
    generator: np.random.Generator, size: int, mantissa: int, exponent: int
) -> np.ndarray[Any, Any]:
    """Bit patterns of weights around one, or small integers."""
    if not exponent:
        return generator.integers(0, 120, size)
    middle = (1 << exponent - 1) - 2 << mantissa
    return middle + generator.integers(-(1 << mantissa), 1 << mantissa, size)


@pytest.mark.parametrize("room", [memoryview(bytes(64)), memoryview(bytearray(128))[::2]])
def test_only_memory_in_one_piece_is_filled(room: memoryview) -> None:
    with pytest.raises(TypeError):
        _kernels()[0].decode(b"", None, 32, 2, room)


def test_lies_do_not_lead_the_kernel_astray() -> None:
    """What `make fuzz` does at length: nothing is written beside the room, and the fallback says the same."""
    payloads = samples(_kernels())
    assert all(examine(_kernels(), payload, slowly=True) for payload in payloads)
    taken = [examine(_kernels(), lie(payloads, 0, number), slowly=True) for number in range(2000)]
    assert 0 < sum(taken) < len(taken) / 2
