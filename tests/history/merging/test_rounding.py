"""Merged elements are rounded to the stored type once, to the nearest, ties to even."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest

from lepton_ai.history.merging.virtual import rounded

SMALL = [ml_dtypes.bfloat16, np.float16, ml_dtypes.float8_e4m3fn, ml_dtypes.float8_e5m2]
Values = np.ndarray[Any, Any]


def every(dtype: Any) -> tuple[Values, Values]:
    """Every finite value of a type from zero up, as float64, and whether its last bit is 0."""
    bits = np.arange(1 << (8 * np.dtype(dtype).itemsize - 1)).astype(f"<u{np.dtype(dtype).itemsize}")
    with np.errstate(invalid="ignore"):
        values = bits.view(dtype).astype(np.float64)
    finite = np.isfinite(values)
    return values[finite], bits[finite] % 2 == 0


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("wide", [np.float32, np.float64])
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_between_any_two_neighbours(dtype: Any, sign: int, wide: Any, beside: int) -> None:
    """Exactly in the middle, and as little beside it as the wide type can tell: subnormals too."""
    values, even = every(dtype)
    low, high = values[:-1], values[1:]
    middle = ((low + high) / 2).astype(wide)
    asked = np.nextafter(middle, wide(beside * np.inf)) if beside else middle
    expected = high if beside > 0 else low if beside < 0 else np.where(even[:-1], low, high)
    found = np.frombuffer(rounded(sign * asked, np.dtype(dtype)), dtype).astype(np.float64)
    np.testing.assert_array_equal(found, sign * expected)


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("wide", [np.float32, np.float64])
def test_what_is_too_large_or_no_number(dtype: Any, wide: Any) -> None:
    asked = np.array([np.nan, np.inf, -np.inf, np.finfo(wide).max, -0.0], wide)
    with np.errstate(invalid="ignore"):
        found = np.frombuffer(rounded(asked, np.dtype(dtype)), dtype).astype(np.float64)
    assert np.isnan(found[0])
    assert not np.isfinite(found[1:4]).any()
    assert found[4] == 0
    assert np.signbit(found[4])
