"""Statistics in one pass agree with numpy over everything at once, however the elements are cut."""

from __future__ import annotations

import math
from itertools import pairwise

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lepton_ai.history.diff import moments
from lepton_ai.history.diff.moments import NOTHING, Moved

NUMBERS = st.floats(-1e6, 1e6, width=32)


def _moved(before: np.ndarray, after: np.ndarray, cuts: list[int]) -> Moved:
    found = NOTHING
    edges = [0, *sorted({cut % (len(before) + 1) for cut in cuts}), len(before)]
    with np.errstate(all="ignore"):
        for start, stop in pairwise(edges):
            one, other = before[start:stop], after[start:stop]
            if len(one):
                changed = moments.differing(one, other)
                found = found.joined(moments.moved(moments.values(one), moments.values(other), changed))
    return found


@settings(max_examples=150, deadline=None)
@given(arrays(np.float32, st.integers(1, 60), elements=NUMBERS), st.lists(st.integers(0, 60)), st.randoms())
def test_any_cut_gives_what_numpy_gives(before: np.ndarray, cuts: list[int], random: object) -> None:
    rng = np.random.default_rng(random.randrange(1 << 30))  # type: ignore[attr-defined]
    after = np.where(rng.random(len(before)) < 0.5, before, before + rng.normal(size=len(before))).astype(
        np.float32
    )
    found = _moved(before, after, cuts)
    one, other = before.astype(np.float64), after.astype(np.float64)
    delta = other - one
    assert found.elements == found.pairs == len(before)
    assert found.changed == np.count_nonzero(before.view(np.uint32) != after.view(np.uint32))
    assert found.most == np.abs(delta).max()
    assert found.before.mean == pytest.approx(one.mean(), rel=1e-12, abs=1e-9)
    assert found.after.std == pytest.approx(other.std(), rel=1e-9, abs=1e-9)
    assert (found.before.low, found.before.high) == (one.min(), one.max())
    assert found.l2 == pytest.approx(np.linalg.norm(delta), rel=1e-12)
    if np.linalg.norm(one):
        assert found.relative == pytest.approx(np.linalg.norm(delta) / np.linalg.norm(one), rel=1e-9)
    if np.linalg.norm(one) and np.linalg.norm(other):
        expected = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
        assert found.cosine == pytest.approx(expected, abs=1e-9)
    shown = moments.histogram(found.bins)
    counted = sum(shown.negative) + sum(shown.positive) if shown else 0
    assert counted == np.count_nonzero(delta)
    assert (sum(shown.negative) if shown else 0) == np.count_nonzero(delta < 0)


def test_a_small_spread_far_from_zero_is_not_lost() -> None:
    rng = np.random.default_rng(0)
    wide = 1e8 + rng.normal(size=100_000)
    found = moments.own(wide[:777]).joined(moments.own(wide[777:]))
    assert found.std == pytest.approx(wide.std(), rel=1e-10)
    assert found.mean == pytest.approx(wide.mean(), rel=1e-14)


def test_nan_and_infinities_are_counted_and_left_out() -> None:
    before = np.array([1, 2, 3, np.nan, np.inf, 5], np.float32)
    after = np.array([1, np.nan, 4, np.nan, -np.inf, 5], np.float32)
    for cuts in ([], [1, 2, 3, 4]):
        found = _moved(before, after, cuts)
        assert (found.before.nan, found.before.inf, found.after.nan, found.after.inf) == (1, 1, 2, 1)
        assert (found.elements, found.changed, found.pairs, found.most) == (6, 3, 3, 1.0)
        assert found.relative == pytest.approx(1 / math.sqrt(1 + 9 + 25))
        assert found.before.numbers().mean == pytest.approx(11 / 4)


def test_nothing_finite_has_no_numbers() -> None:
    found = _moved(np.full(3, np.nan), np.full(3, np.inf), [1])
    assert found.relative is None
    assert found.cosine is None
    assert found.before.numbers().mean is None
    assert (found.before.nan, found.after.inf) == (3, 3)


def test_what_was_all_zero_moved_infinitely() -> None:
    assert _moved(np.zeros(4), np.ones(4), []).relative == math.inf
    assert _moved(np.zeros(4), np.zeros(4), []).relative == 0
    assert _moved(np.zeros(4), np.ones(4), []).cosine is None


@pytest.mark.parametrize(
    "name",
    ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float4_e2m1fn", "int4", "uint4", "int2"],
)
def test_low_precision_types_are_exact(name: str) -> None:
    kind = np.dtype(getattr(ml_dtypes, name))
    before, after = np.array([1, 0, 1, 1]).astype(kind), np.array([1, 1, 0, 1]).astype(kind)
    found = _moved(before, after, [2])
    wide = before.astype(np.float32).astype(np.float64), after.astype(np.float32).astype(np.float64)
    assert found.changed == np.count_nonzero(wide[0] != wide[1])
    assert found.most == np.abs(wide[1] - wide[0]).max()
    assert found.after.mean == wide[1].mean()


def test_a_type_of_powers_of_two_is_exact_too() -> None:
    kind = np.dtype(ml_dtypes.float8_e8m0fnu)
    found = _moved(np.array([1.0, 2, 4]).astype(kind), np.array([1.0, 2.0**100, 4]).astype(kind), [])
    assert (found.changed, found.most) == (1, 2.0**100 - 2)


@pytest.mark.parametrize("kind", [np.bool_, np.int8, np.uint64, np.float16, np.float64])
def test_other_types_are_numbers_too(kind: type) -> None:
    before, after = np.array([0, 1, 1, 0]).astype(kind), np.array([1, 1, 0, 0]).astype(kind)
    found = _moved(before, after, [])
    assert (found.changed, found.most, found.after.mean) == (2, 1.0, 0.5)


def test_complex_numbers_count_with_their_modulus() -> None:
    before, after = np.array([3 + 4j, 1j]), np.array([3 + 4j, 1j + 2])
    for kind in (np.complex64, np.complex128):
        found = _moved(before.astype(kind), after.astype(kind), [1])
        assert (found.changed, found.most, found.before.high) == (1, 2.0, 5.0)
        assert found.relative == pytest.approx(2 / math.sqrt(26))
        expected = (before.conj() @ after).real / np.linalg.norm(before) / np.linalg.norm(after)
        assert found.cosine == pytest.approx(expected)


def test_bits_count_where_values_are_equal() -> None:
    before, after = np.array([0.0, np.nan]), np.array([-0.0, np.nan])
    assert moments.differing(before, after) == 1
    assert moments.differing(before, after.astype(np.float32)) == 0


@pytest.mark.parametrize("kind", ["float64", "complex128"])
@pytest.mark.parametrize("cuts", [[], [1, 3], [2]])
@pytest.mark.parametrize("power", [-1000, -700, -300, 300, 700, 1015])
def test_numbers_whose_squares_are_none_count_like_others(power: int, cuts: list[int], kind: str) -> None:
    before, after = np.array([1.0, -2, 3, 0.5, 4]), np.array([1.0, 2, 2.5, 0.5, 1])
    plain = _moved(before.astype(kind), after.astype(kind), cuts)
    size = 2.0 ** (power // 2) * 2.0 ** (power - power // 2)
    found = _moved((before * size).astype(kind), (after * size).astype(kind), cuts)
    assert found.relative == pytest.approx(plain.relative, rel=1e-12)
    assert found.cosine == pytest.approx(plain.cosine, rel=1e-12)
    assert found.l2 == pytest.approx(math.ldexp(plain.l2 or 0, power), rel=1e-12)
    assert found.most == math.ldexp(plain.most, power)
    assert found.before.std == pytest.approx(math.ldexp(plain.before.std, power), rel=1e-12)
    assert found.before.norm == pytest.approx(math.ldexp(plain.before.norm, power), rel=1e-12)
    assert found.after.mean == pytest.approx(math.ldexp(plain.after.mean, power), rel=1e-12)


@pytest.mark.parametrize("cuts", [[], [1], [2, 3]])
def test_huge_and_tiny_numbers_together(cuts: list[int]) -> None:
    found = _moved(np.array([1e300, 1e-300, 3.0]), np.array([1e300, 2e-300, 3.0]), cuts)
    assert found.l2 == pytest.approx(1e-300)
    assert (found.cosine, found.changed, found.before.high) == (pytest.approx(1), 1, 1e300)
    assert found.before.norm == pytest.approx(1e300)


@pytest.mark.parametrize("cuts", [[], [1]])
def test_differences_that_are_too_large_for_a_number_are_said_to_be(cuts: list[int]) -> None:
    found = _moved(np.array([1e200, -1.5e308]), np.array([1e200, 1.5e308]), cuts)
    assert (found.most, found.changed, found.cosine) == (math.inf, 1, pytest.approx(-1))
    assert found.before.mean == -7.5e307
    assert found.after.std == pytest.approx(7.5e307)
    assert moments.histogram(found.bins) is None


def test_a_histogram_keeps_the_largest_bins_and_loses_nothing() -> None:
    delta = np.array([2.0**-power for power in range(60)])
    found = _moved(np.zeros(60), delta, [])
    shown = moments.histogram(found.bins)
    assert shown is not None
    assert len(shown.positive) == moments.SHOWN
    assert (shown.edges[-1], shown.positive[-1], sum(shown.positive)) == (2.0, 1, 60)
