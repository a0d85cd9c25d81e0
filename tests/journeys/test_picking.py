"""One version's change by itself: taken over to another branch, or taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_ai import errors
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository
from tests.journeys.parted import START, Parted, same


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[Parted]:
    parted = Parted(tmp_path)
    yield parted
    parted.repo.close()


class TestCherryPick:
    def test_exact_where_the_branch_has_what_the_change_began_with(self, parted: Parted) -> None:
        change = parted.save("feature", {"b": 2.0, "c": 2.0, "d": 0.1}, hidden=32)
        picked = parted.repo.cherry_pick(change, "main", message="only the fix")
        assert same(picked.tensor("d"), parted.tensors[change.id]["d"])
        for name in "abc":
            assert same(picked.tensor(name), parted.tensors[parted.ours.id][name])
        assert (picked.name, picked.message, picked.parents) == ("v3", "only the fix", (parted.ours.id,))
        assert (picked.operation.kind, picked.operation.source) == ("cherry-pick", change.id)
        assert parted.config(picked)["hidden"] == 16

    def test_elsewhere_the_difference_is_added(self, parted: Parted) -> None:
        picked = parted.repo.cherry_pick("feature@v2", "main", on_conflict="ours")
        np.testing.assert_allclose(picked.tensor("c"), START["c"] + np.float32(3), rtol=1e-6)
        assert same(picked.tensor("b"), parted.tensors[parted.theirs.id]["b"])
        assert picked.merged is not None
        outcomes = {one.name: (one.outcome, one.method) for one in picked.merged.tensors}
        assert outcomes["c"] == ("merged", "task_arithmetic")
        assert outcomes["b"] == ("theirs", "")

    def test_a_part_of_the_change(self, parted: Parted) -> None:
        picked = parted.repo.cherry_pick("feature@v2", "main", parameters={"lambda": 0.5}, on_conflict="ours")
        np.testing.assert_allclose(picked.tensor("c"), START["c"] + 1.5, rtol=1e-6)

    def test_conflicts_are_said_and_nothing_is_done(self, parted: Parted) -> None:
        with pytest.raises(errors.Diverged, match=r"config\.json"):
            parted.repo.cherry_pick("feature@v2", "main")
        assert parted.repo.branch("main").head == parted.ours

    def test_what_cannot_be(self, parted: Parted) -> None:
        for version, into, said in (
            ("v1", "main", "the first of its line"),
            ("v2", "main", "main has main@v2 already"),
        ):
            with pytest.raises(errors.UsageError, match=said):
                parted.repo.cherry_pick(version, into)
        parted.repo.create_branch("other", "v1")
        again = parted.save("other", {"a": 1.0, "c": 1.0}, hidden=16)
        with pytest.raises(errors.UsageError, match="would change nothing"):
            parted.repo.cherry_pick(again, "main")

    def test_onto_the_current_branch(self, parted: Parted) -> None:
        change = parted.save("feature", {"b": 2.0, "c": 2.0, "d": 1.0}, hidden=32)
        parted.repo.create_branch("other", "v1")
        parted.repo.switch("other")
        assert parted.repo.cherry_pick(change).branch == "other"


class TestRevert:
    def test_in_the_middle_what_came_later_stays(self, parted: Parted) -> None:
        later = parted.save("main", {"a": 1.0, "c": 4.0, "d": 7.0}, hidden=16)
        reverted = parted.repo.revert("v2", message="leaked test data")
        assert same(reverted.tensor("a"), START["a"])
        assert same(reverted.tensor("d"), parted.tensors[later.id]["d"])
        np.testing.assert_allclose(reverted.tensor("c"), START["c"] + np.float32(3), rtol=1e-6)
        assert parted.config(reverted)["hidden"] == 8
        assert (reverted.parents, reverted.operation.kind) == ((later.id,), "revert")

    def test_of_the_newest_is_the_parent_again(self, parted: Parted) -> None:
        assert parted.repo.revert("v2").content_id == parted.base.content_id

    def test_a_revert_is_reverted(self, parted: Parted) -> None:
        undone = parted.repo.revert("v2")
        assert parted.repo.revert(undone).content_id == parted.ours.content_id

    def test_what_cannot_be(self, parted: Parted) -> None:
        for version, said in (("v1", "the first of its line"), ("feature@v2", "main never had feature@v2")):
            with pytest.raises(errors.UsageError, match=said):
                parted.repo.revert(version)
        with pytest.raises(errors.NotFound):
            parted.repo.revert("v9")


def saved(repo: ModelRepository, folder: Path, branch: str, tensors: dict[str, Any]) -> Version:
    np.savez(folder / "w.npz", **tensors)
    version = repo.save_files(folder / "w.npz", branch)
    assert isinstance(version, Version)
    return version


def test_integers_that_both_changed_are_told(tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "r", author="Anna") as repo:
        steps, weight = np.arange(400), np.ones(400, np.float32)
        saved(repo, tmp_path, "main", {"steps": steps, "w": weight})
        repo.create_branch("feature")
        change = saved(repo, tmp_path, "feature", {"steps": steps + 1, "w": weight + 1})
        saved(repo, tmp_path, "main", {"steps": steps + 5, "w": weight * 4})
        with pytest.raises(errors.Diverged, match=r"steps.*int64"):
            repo.cherry_pick(change)
        picked = repo.cherry_pick(change, on_conflict="ours")
        assert same(picked.tensor("steps"), steps + 5)
        assert same(picked.tensor("w"), weight * 4 + 1)


NUMBERS = st.lists(st.floats(-8, 8, width=16), min_size=4, max_size=4)


@settings(max_examples=12, deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, st.sampled_from(["float32", "float64", "float16"]))
def test_the_law_of_the_task_vector(
    tmp_path_factory: pytest.TempPathFactory,
    start: list[float],
    there: list[float],
    here: list[float],
    kind: str,
) -> None:
    base, theirs, ours = (np.repeat(np.array(each, kind), 100) for each in (start, there, here))
    folder = tmp_path_factory.mktemp("law")
    with ModelRepository(folder / "r", author="Anna", encrypt=False) as repo:
        saved(repo, folder, "main", {"w": base, "other": np.zeros(3)})
        repo.create_branch("feature")
        change = saved(repo, folder, "feature", {"w": theirs, "other": np.ones(3)})
        saved(repo, folder, "main", {"w": ours, "other": np.zeros(3)})
        picked = repo.cherry_pick(change).tensor("w")
        wide = np.float64 if kind == "float64" else np.float32
        expected = (ours.astype(wide) + (theirs.astype(wide) - base.astype(wide))).astype(kind)
        if same(ours, theirs):  # the branch made this change already
            expected = ours
        np.testing.assert_allclose(
            picked,
            expected,
            rtol=2e-3 if kind == "float16" else 1e-5,
            atol=2e-3 if kind == "float16" else 1e-5,
        )
        if (ours == base).all() and ours.tobytes() == base.tobytes():
            assert same(picked, theirs)
        back = repo.revert(repo.branch("main").head or "").tensor("w")
        assert same(back, ours)


def test_a_type_that_numpy_lacks(tmp_path: Path) -> None:
    from safetensors.numpy import save_file

    with ModelRepository(tmp_path / "r", author="Anna") as repo:

        def save(branch: str, value: float) -> Version:
            save_file({"w": np.full(600, value).astype(ml_dtypes.bfloat16)}, tmp_path / "m.safetensors")
            return repo.save_files(tmp_path / "m.safetensors", branch)

        save("main", 1.0)
        repo.create_branch("feature")
        change = save("feature", 1.5)
        save("main", 3.0)
        picked = repo.cherry_pick(change).tensor("w")
        assert picked.dtype == ml_dtypes.bfloat16
        assert (picked.astype(np.float32) == 3.5).all()
