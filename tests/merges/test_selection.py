"""The k largest, exactly, whatever the numbers are; and chance by position."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.history.merges import selection
from lepton_ai.history.merges.chance import Chance
from lepton_ai.history.merges.contract import Case
from lepton_ai.history.merges.selection import Largest, largest, size_bits
from lepton_ai.testing.merge_cases import Held


def chosen_places(found: Largest, sizes: Any, step: int) -> list[int]:
    masks = [found.chosen(sizes[at : at + step], at) for at in range(0, len(sizes), step)]
    return np.flatnonzero(np.concatenate(masks)).tolist()


def expected_places(sizes: Any, k: int) -> list[int]:
    return sorted(np.argsort(-sizes.astype(np.int64), kind="stable")[:k].tolist())


KINDS = {
    "normal": lambda random, n: random.standard_normal(n),
    "few values": lambda random, n: random.integers(-2, 3, n) / 7,
    "mostly zero": lambda random, n: np.where(random.random(n) < 0.01, random.standard_normal(n), 0),
    "wide": lambda random, n: np.exp(30 * random.standard_normal(n)),
    "odd": lambda random, n: random.choice([np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-45, 3e38], n),
    "sorted": lambda random, n: np.sort(random.standard_normal(n)),
    "one large": lambda random, n: np.arange(n) == n // 2,
}


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(sorted(KINDS)),
    st.integers(1, 40_000),
    st.integers(0, 2**32),
    st.floats(0, 1),
    st.booleans(),
)
def test_it_is_what_sorting_finds(kind: str, count: int, seed: int, share: float, wide: bool) -> None:
    with np.errstate(over="ignore"):
        numbers = KINDS[kind](np.random.default_rng(seed), count).astype(np.float64 if wide else np.float32)
    sizes = size_bits(numbers)
    k = max(1, int(share * count))
    found = largest(lambda start, stop: sizes[start:stop], count, k)
    assert chosen_places(found, sizes, 777) == expected_places(sizes, k)


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("share", [0.0001, 0.3, 0.999])
def test_the_radix_finds_it_where_the_sample_does_not(
    monkeypatch: pytest.MonkeyPatch, kind: str, share: float
) -> None:
    """Too little room to collect anything, and a sample that tells nothing."""
    monkeypatch.setattr(selection, "MOST", 0)
    monkeypatch.setattr(selection, "SAMPLE", 4)
    monkeypatch.setattr(selection, "RUN", 2)
    with np.errstate(over="ignore"):
        sizes = size_bits(KINDS[kind](np.random.default_rng(5), 9000).astype(np.float32))
    k = max(1, int(share * 9000))
    found = largest(lambda start, stop: sizes[start:stop], 9000, k)
    assert chosen_places(found, sizes, 1000) == expected_places(sizes, k)


def test_over_many_stretches() -> None:
    numbers = np.random.default_rng(2).integers(0, 1000, 3 * selection.STRETCH + 17).astype(np.float32)
    sizes = size_bits(numbers)
    for k in (5, 2_000_000, len(sizes) - 1):
        found = largest(lambda start, stop: sizes[start:stop], len(sizes), k)
        assert chosen_places(found, sizes, 100_003) == expected_places(sizes, k)


@given(st.integers(0, 3000), st.integers(0, 3000), st.integers(0, 2**70))
def test_chance_is_a_function_of_the_position(start: int, stop: int, seed: int) -> None:
    start, stop = sorted((start, stop))
    chance = Chance(Case("w", (Held([0.0]),), seed=seed), 0)
    assert chance.numbers(start, stop).tolist() == chance.numbers(0, 3000)[start:stop].tolist()


def test_chance_is_fixed_for_ever() -> None:
    """A merge must be repeatable by a later release, on any machine."""
    case = Case("layers.0.weight", (Held([0.0]),), seed=42)
    assert Chance(case, 0).numbers(5, 9).tolist() == FIXED[0]
    assert Chance(case, 1).numbers(2**40 + 1, 2**40 + 5).tolist() == FIXED[1]


FIXED = [[4005104990, 1202535145, 2359051602, 2518879438], [1359222186, 1062424861, 186379011, 2557155675]]


def test_every_number_is_equally_likely() -> None:
    numbers = Chance(Case("w", (Held([0.0]),)), 0).numbers(0, 1 << 20)
    assert numbers.dtype == np.uint32
    counts = np.bincount(numbers >> np.uint32(26), minlength=64)
    expected = len(numbers) / 64
    assert ((counts - expected) ** 2 / expected).sum() < 110  # chi-square, 63 degrees: 1 in 5,000
    for share in (0.0, 0.25, 1.0):
        assert Chance(Case("w", (Held([0.0]),)), 0).kept(0, 1 << 18, share).mean() == pytest.approx(
            share, abs=0.003
        )
