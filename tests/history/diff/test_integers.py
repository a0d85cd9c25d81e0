"""Integers beyond 2⁵³: what lies between them is what Python says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai.history.diff import integers, moments
from tests.journeys.merged import Models, same

TYPES = [np.int64, np.uint64, np.int32, np.uint8]


def of(kind: type[np.generic]) -> st.SearchStrategy[int]:
    """Numbers of a type, near its ends and near 2⁵³ as often as anywhere."""
    least, most = int(np.iinfo(kind).min), int(np.iinfo(kind).max)
    near = [end + step for end in (least, most, 0, 2**53, -(2**53), 2**60) for step in range(-3, 4)]
    return st.sampled_from([n for n in near if least <= n <= most]) | st.integers(least, most)


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from(TYPES), st.sampled_from(TYPES))
def test_differences_are_those_of_the_integers(
    data: st.DataObject, first: type[np.generic], second: type[np.generic]
) -> None:
    one, other = (data.draw(st.lists(of(kind), min_size=4, max_size=4)) for kind in (first, second))
    before, after = np.array(one, first), np.array(other, second)
    assert list(integers.delta(before, after)) == [float(b - a) for a, b in zip(one, other, strict=True)]
    assert moments.differing(before, after) == sum(a != b for a, b in zip(one, other, strict=True))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.sampled_from([np.int64, np.uint64]), st.booleans())
def test_a_float_is_an_integer_or_not(data: st.DataObject, kind: type[np.generic], turned: bool) -> None:
    one = data.draw(st.lists(of(kind), min_size=3, max_size=3))
    other = [data.draw(st.sampled_from([float(n), np.nextafter(n, 0), n + 0.5, np.nan, np.inf])) for n in one]
    sides = np.array(one, kind), np.array(other, np.float64)
    expected = sum(n != float(f) for n, f in zip(one, other, strict=True))  # Python compares them exactly
    with np.errstate(all="ignore"):
        assert moments.differing(*(sides[::-1] if turned else sides)) == expected


BASE = np.array([2**60, 2**53, -(2**63), 2**63 - 1, *range(300)], np.int64)


def test_a_diff_tells_them(tmp_path: Path) -> None:
    models = Models(tmp_path)
    models.save({"n": BASE})
    models.save({"n": BASE + np.array([1, 1, 3, -1, *[0] * 300])})
    (tensor,) = models.repo.diff("v1", "v2").tensors
    assert (tensor.changed, tensor.max_abs, tensor.l2) == (4, 3.0, pytest.approx(12**0.5))
    assert tensor.histogram is not None
    assert sum(tensor.histogram.positive) + sum(tensor.histogram.negative) == 4
    models.repo.close()


def test_a_merge_takes_them_bit_for_bit(tmp_path: Path) -> None:
    """From one side, from the base, and from a file; no method computes with them."""
    models = Models(tmp_path)
    models.parted({"n": BASE, "m": BASE}, {"n": BASE + 1, "m": BASE}, {"n": BASE + 2, "m": BASE[::-1].copy()})
    assert (
        "linear cannot compute with int64"
        in models.repo.preview_merge("side", method="linear").conflicts[0].why
    )
    models.repo.create_branch("other")
    merged = models.merge(method="base")
    assert same({name: merged.tensor(name) for name in "mn"}, {"m": BASE[::-1].copy(), "n": BASE})
    with pytest.raises(Exception, match="waits"):
        models.repo.merge_branch("side", "other", on_conflict="stop")
    np.save(tmp_path / "n.npy", BASE - 5)
    waiting = models.repo.merge_in_progress()
    waiting.resolve("n", file=tmp_path / "n.npy")
    assert same({"n": waiting.finish().tensor("n")}, {"n": BASE - 5})
    models.repo.close()
