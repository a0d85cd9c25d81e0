"""What every merge keeps, through real repositories."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from .merged import Models, arrays_of, same

NAMES = ("a.weight", "b.weight", "b.bias", "norm", "steps")
DTYPES = (np.float32, ml_dtypes.bfloat16, np.float16, np.float64, np.int64)
SIZES = (3, 64, 300, 70_000)
"""Elements: within the file's other bytes, in a block of their own, over several parts."""

Arrays = dict[str, np.ndarray[Any, Any]]


@contextmanager
def models() -> Iterator[Models]:
    with tempfile.TemporaryDirectory(prefix="lepton-merge-") as folder:
        made = Models(Path(folder))
        try:
            yield made
        finally:
            made.repo.close()


@st.composite
def bases(draw: st.DrawFn) -> Arrays:
    names = draw(st.lists(st.sampled_from(NAMES), min_size=2, max_size=len(NAMES), unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    return {
        name: (rng.normal(size=draw(st.sampled_from(SIZES))) * 8).astype(draw(st.sampled_from(DTYPES)))
        for name in names
    }


def changed(base: Arrays, names: set[str], seed: int) -> Arrays:
    """The same with other elements in some tensors: in all of them, or in a few."""
    rng = np.random.default_rng(seed)
    found = dict(base)
    for name in names:
        moved = base[name].copy()
        count = len(moved) if seed % 2 else 1
        moved[:count] = (rng.normal(size=count) * 50 + 100).astype(moved.dtype)
        found[name] = moved
    return found


@given(bases(), st.data())
@settings(max_examples=8, deadline=None)
def test_disjoint_changes_commute_and_are_bit_exact(base: Arrays, data: st.DataObject) -> None:
    owner = {name: data.draw(st.sampled_from(("ours", "theirs", "nobody"))) for name in sorted(base)}
    mine = {name for name in base if owner[name] == "ours"}
    its = {name for name in base if owner[name] == "theirs"}
    one, other = changed(base, mine, 1), changed(base, its, 2)
    expected = {name: other[name] if name in its else one[name] for name in base}
    with models() as made:
        made.save(base)
        for branch, arrays in (("one", one), ("other", other)):
            made.save(arrays, branch, message=branch)
        made.repo.create_branch("again", "other")
        first = made.merge("other", "one")
        second = made.repo.merge_versions(["one@v2"], "again")
        assert same(arrays_of(first), expected)
        assert first.content_id == second.content_id
        assert made.repo.replay_merge(first)
        assert made.repo.merge_branch("other", "one") is None


@given(bases(), st.booleans())
@settings(max_examples=4, deadline=None)
def test_what_both_did_is_what_it_is(base: Arrays, everything: bool) -> None:
    """merge(a, base, a) = a, and its metrics still hold."""
    after = changed(base, set(base) if everything else {min(base)}, 3)
    with models() as made:
        made.parted(base, after, after)
        made.repo.update_version("main@v2", metrics={"accuracy": 0.9})
        merged = made.merge()
        assert same(arrays_of(merged), after)
        assert merged.content_id == made.repo.version("side@v2").content_id
        assert merged.metrics == {"accuracy": 0.9}
        assert made.repo.replay_merge(merged)


@given(
    bases(),
    st.sampled_from(["linear", "slerp", "task_arithmetic", "ties", "dare_linear", "della"]),
    st.data(),
)
@settings(max_examples=8, deadline=None)
def test_a_merge_can_be_done_again(base: Arrays, method: str, data: st.DataObject) -> None:
    """Methods with chance too; integers go to a side; nothing that one side alone changed is touched by a method."""
    mine = {name for name in sorted(base) if data.draw(st.booleans())}
    its = {name for name in sorted(base) if data.draw(st.booleans())}
    one, other = changed(base, mine, 1), changed(base, its, 2)
    with models() as made:
        made.parted(base, one, other)
        merged = made.merge(method=method, on_conflict="ours", seed=data.draw(st.integers(0, 3)))
        found = arrays_of(merged)
        for name in base:
            if name not in mine & its:
                assert found[name].tobytes() == (other if name in its else one)[name].tobytes()
            elif base[name].dtype.kind == "i":
                assert found[name].tobytes() == one[name].tobytes()
        assert made.repo.replay_merge(merged)
        assert made.repo.verify().clean


@given(bases(), st.sampled_from([([1, 0], "ours"), ([0, 1], "theirs")]))
@settings(max_examples=4, deadline=None)
def test_all_weight_on_one_side_takes_it(base: Arrays, chosen: tuple[list[int], str]) -> None:
    weights, side = chosen
    floats = {name: array for name, array in base.items() if array.dtype.kind != "i"}
    if not floats:
        return
    one, other = changed(floats, set(floats), 1), changed(floats, set(floats), 3)
    with models() as made:
        made.parted(floats, one, other)
        merged = made.merge(method="linear", weights=weights)
        assert same(arrays_of(merged), one if side == "ours" else other)
