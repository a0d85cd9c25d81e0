"""A merge that waits for people: begun, decided, moved on, made or given up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import errors
from lepton_ai.repository import ModelRepository
from lepton_ai.unfinished import UnfinishedMerge
from tests.journeys.merged import Models
from tests.journeys.parted import START, Parted, same


@pytest.fixture
def parted(tmp_path: Path) -> Iterator[Parted]:
    parted = Parted(tmp_path)
    yield parted
    parted.repo.close()


@pytest.fixture
def merge(parted: Parted) -> UnfinishedMerge:
    with pytest.raises(errors.Diverged, match="waits for 2 decisions"):
        parted.repo.merge_branch("feature", on_conflict="stop")
    return parted.repo.merge_in_progress()


def told(merge: UnfinishedMerge) -> dict[str, str | None]:
    return {
        one.name: one.resolution and (one.resolution.method or one.resolution.how) for one in merge.conflicts
    }


class TestBegin:
    def test_conflicts_are_kept_for_all_to_see(self, parted: Parted, merge: UnfinishedMerge) -> None:
        with ModelRepository(parted.repo.path, create=False, author="Bert") as other:
            (seen,) = other.merges_in_progress()
            assert (seen.branch, seen.source, seen.started_by) == ("main", "feature", "Anna")
            assert {one.name: one.kind for one in seen.conflicts} == {"c": "tensor", "config.json": "file"}
            assert seen.sides == {"ours": [parted.ours], "theirs": [parted.theirs], "base": [parted.base]}
        assert parted.repo.branch("main").head == parted.ours

    def test_without_stop_nothing_is_left_behind(self, parted: Parted) -> None:
        with pytest.raises(errors.Diverged):
            parted.repo.merge_branch("feature")
        assert parted.repo.merges_in_progress() == []
        with pytest.raises(errors.NotFound, match="no merge is in progress"):
            parted.repo.merge_in_progress()

    def test_what_can_be_merged_does_not_wait(self, parted: Parted) -> None:
        parted.save("feature", {"b": 2.0})
        assert parted.repo.merge_branch("feature", on_conflict="stop") is not None
        assert parted.repo.merges_in_progress() == []

    def test_no_second_merge_meanwhile_not_even_forward(self, parted: Parted, merge: UnfinishedMerge) -> None:
        parted.repo.create_branch("ahead", "main")
        parted.save("ahead", {"a": 3.0})
        for source in ("feature", "ahead"):
            with pytest.raises(errors.InUse, match="in progress: feature into main, begun by Anna"):
                parted.repo.merge_branch(source, on_conflict="ours")
        assert parted.repo.merge_branch("main", "ahead") is None

    def test_it_holds_on_to_its_versions(self, parted: Parted, merge: UnfinishedMerge) -> None:
        parted.repo.delete_branch("feature")
        with pytest.raises(errors.InUse, match="merge main"):
            parted.repo.delete_version("v1")
        assert parted.repo.gc(grace=0).versions == ()
        merge.resolve("*", "theirs")
        assert same(merge.finish().tensor("c"), START["c"] + np.float32(2))


class TestResolve:
    def test_sides_methods_and_the_version_that_comes_of_it(
        self, parted: Parted, merge: UnfinishedMerge
    ) -> None:
        assert merge.resolve("c", method="linear:weight=0.25/0.75", why="trained longer") == ["c"]
        assert merge.open == ["config.json"]
        assert merge.resolve("config.json", "theirs") == ["config.json"]
        version = merge.finish(message="together")
        assert (version.name, version.message, version.parents) == (
            "v3",
            "together",
            (parted.ours.id, parted.theirs.id),
        )
        assert same(version.tensor("a"), START["a"] + np.float32(1))
        assert same(version.tensor("b"), START["b"] + np.float32(2))
        assert same(version.tensor("d"), START["d"])
        np.testing.assert_allclose(version.tensor("c"), START["c"] + 1.75, rtol=1e-6)
        assert parted.config(version)["hidden"] == 32
        assert parted.repo.merges_in_progress() == []
        assert parted.repo.replay_merge(version)

    def test_who_when_and_why_stay_in_the_version(self, parted: Parted, merge: UnfinishedMerge) -> None:
        merge.resolve("c", "base", why="both diverge")
        with ModelRepository(parted.repo.path, create=False, author="Bert") as other:
            other.merge_in_progress().resolve("config.json", "ours", why="the larger one does not fit")
        version = merge.finish()
        assert same(version.tensor("c"), START["c"])
        account = version.merged
        assert account is not None
        assert [(one.target, one.how, one.by, one.why) for one in account.resolutions] == [
            ("c", "base", "Anna", "both diverge"),
            ("config.json", "ours", "Bert", "the larger one does not fit"),
        ]
        assert [line.why for line in parted.repo.log("merge/main")][1:3] == [
            "the larger one does not fit", "both diverge",
        ]  # fmt: skip

    def test_given_content(self, parted: Parted, merge: UnfinishedMerge, tmp_path: Path) -> None:
        mine = np.linspace(-1, 1, START["c"].size).astype(np.float64)
        np.save(tmp_path / "c.npy", mine)
        (tmp_path / "mine.json").write_text('{"hidden": 24}')
        merge.resolve("c", file=tmp_path / "c.npy")
        merge.resolve("config.json", file=str(tmp_path / "mine.json"))
        (tmp_path / "c.npy").unlink()
        parted.repo.gc(grace=0)
        assert told(merge) == {"c": "file", "config.json": "file"}
        version = merge.finish()
        assert same(version.tensor("c"), mine.astype(np.float32))
        assert parted.config(version) == {"hidden": 24}
        parted.repo.gc(grace=0)
        assert parted.repo.replay_merge(version)
        assert parted.repo.verify().clean

    @pytest.mark.parametrize(
        ("array", "said"),
        [
            (np.zeros((20, 30), np.float32), r"shape \[20, 30\], the tensor \[600\]"),
            (np.zeros(600, np.int64), "is int64, the tensor float32"),
            (np.array([{}] * 600), "no .npy file of numbers"),
            (None, r"it is no \.npy file .write it with numpy.save"),
        ],
    )
    def test_given_arrays_that_do_not_fit(
        self, parted: Parted, merge: UnfinishedMerge, tmp_path: Path, array: Any, said: str
    ) -> None:
        if array is None:
            (tmp_path / "x.npy").write_text("1 2 3")
        else:
            np.save(tmp_path / "x.npy", array, allow_pickle=True)
        with pytest.raises(errors.UsageError, match=said):
            merge.resolve("c", file=tmp_path / "x.npy")
        with pytest.raises(errors.NotFound, match=r"no file .*missing"):
            merge.resolve("c", file=tmp_path / "missing.npy")
        assert merge.open == ["c", "config.json"] or merge.open == ["config.json", "c"]

    @pytest.mark.parametrize(
        ("how", "kind"),
        [
            ({}, errors.UsageError),
            ({"take": "ours", "method": "linear"}, errors.UsageError),
            ({"take": "mine"}, errors.UsageError),
            ({"method": "magic"}, errors.NotFound),
            ({"method": "linear:weight=[1,2,3]"}, errors.UsageError),
            ({"method": "fisher"}, errors.UsageError),
        ],
    )
    def test_what_cannot_be_is_told_at_once(
        self, merge: UnfinishedMerge, how: dict[str, str], kind: Any
    ) -> None:
        with pytest.raises(kind):
            merge.resolve("c", **how)
        assert "c" in merge.open

    def test_finishing_too_early(self, parted: Parted, merge: UnfinishedMerge) -> None:
        merge.resolve("c", "ours")
        with pytest.raises(errors.Diverged, match=r"waits for 1 decision: config\.json"):
            merge.finish()
        assert parted.repo.branch("main").head == parted.ours


class TestAbort:
    def test_the_branch_was_never_touched(self, parted: Parted, merge: UnfinishedMerge) -> None:
        merge.resolve("c", "ours")
        merge.abort(why="later")
        assert parted.repo.branch("main").head == parted.ours
        assert parted.repo.log("merge/main")[0].why == "later"
        for act in (merge.abort, merge.finish, lambda: merge.resolve("c", "ours"), lambda: merge.conflicts):
            with pytest.raises(errors.NotFound):
                act()
        assert parted.repo.merge_branch("feature", on_conflict="ours") is not None


class TestFaster:
    """Two finish it at once, or one gives it up meanwhile."""

    @pytest.mark.parametrize("step", ["_caught_up", "_planned"])
    @pytest.mark.parametrize("ends", ["finish", "abort"])
    def test_who_loses_hears_what_came_of_it(
        self, parted: Parted, merge: UnfinishedMerge, monkeypatch: pytest.MonkeyPatch, step: str, ends: str
    ) -> None:
        merge.resolve("*", "theirs")
        waiting = merge._repository.merging.waiting
        done = getattr(waiting, step)

        def after_another(*arguments: Any) -> Any:
            monkeypatch.undo()
            with ModelRepository(parted.repo.path, create=False, author="Bert") as other:
                getattr(other.merge_in_progress(), ends)()
            return done(*arguments)

        monkeypatch.setattr(waiting, step, after_another)
        said = {
            "finish": "Bert finished the merge of feature into main meanwhile: it made main@v3",
            "abort": "somebody gave up the merge of feature into main meanwhile",
        }
        with pytest.raises(errors.NotFound, match=said[ends]):
            merge.finish()
        again = "; the last one made main@v3, by Bert" if ends == "finish" else ""
        for repeat in (merge.finish, parted.repo.merge_in_progress):
            with pytest.raises(errors.NotFound, match=rf"is in progress{again} \(lepton merge"):
                repeat()

    def test_who_decides_meanwhile_is_told_as_before(
        self, parted: Parted, merge: UnfinishedMerge, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        merge.resolve("*", "theirs")
        waiting = merge._repository.merging.waiting
        done = waiting._planned

        def after_another(*arguments: Any) -> Any:
            monkeypatch.undo()
            with ModelRepository(parted.repo.path, create=False) as other:
                other.merge_in_progress().resolve("c", "ours", force=True)
            return done(*arguments)

        monkeypatch.setattr(waiting, "_planned", after_another)
        with pytest.raises(errors.LostRace, match="somebody decided something"):
            merge.finish()
        assert parted.repo.merge_in_progress().open == []


class TestMovedOn:
    def test_decisions_that_the_new_version_does_not_touch_stay(
        self, parted: Parted, merge: UnfinishedMerge
    ) -> None:
        merge.resolve("*", "theirs")
        newest = parted.save("main", {"a": 1.0, "c": 1.0, "d": 5.0}, hidden=16)
        version = merge.finish()
        assert version.parents == (newest.id, parted.theirs.id)
        assert same(version.tensor("d"), START["d"] + np.float32(5))
        assert same(version.tensor("c"), START["c"] + np.float32(2))

    def test_what_it_touches_is_to_be_decided_again(self, parted: Parted, merge: UnfinishedMerge) -> None:
        merge.resolve("c", "theirs")
        merge.resolve("config.json", "theirs")
        newest = parted.save("main", {"a": 1.0, "b": 7.0, "c": 9.0}, hidden=16)
        with pytest.raises(errors.Diverged, match="waits for 2 decisions: b, c"):
            merge.finish()
        assert merge.sides["ours"] == [newest]
        assert told(merge) == {"b": None, "c": None, "config.json": "theirs"}
        parted.repo.delete_version(parted.ours)
        merge.resolve("?", "ours")
        assert same(merge.finish().tensor("c"), START["c"] + np.float32(9))

    def test_other_words_for_the_same_version_change_nothing(
        self, parted: Parted, merge: UnfinishedMerge
    ) -> None:
        merge.resolve("*", "theirs")
        better = parted.ours.update(metrics={"accuracy": 0.5})
        assert merge.finish().parents == (better.id, parted.theirs.id)


class TestSeveral:
    """Of more than two: what was told for each model stays that model's, whatever the branch stands on."""

    @staticmethod
    def left(models: Models, into: dict[str, float], **asked: Any) -> UnfinishedMerge:
        models.save(several(), "main")
        for name in ("one", "two"):
            models.repo.create_branch(name)
        if into:
            models.save(several(**into))
        models.save(several(x=2, n=2), "one")
        models.save(several(x=4, n=4), "two")
        with pytest.raises(errors.Diverged, match=r"waits for \d decisions?: n"):
            models.repo.merge_versions(["one", "two"], on_conflict="stop", **asked)
        return models.repo.merge_in_progress()

    def test_weights_stay_with_their_models(self, tmp_path: Path) -> None:
        models = Models(tmp_path)
        merge = self.left(models, {"x": 1, "n": 1}, method="linear", weights=[0.5, 0.3, 0.2])
        merge.resolve("n", "ours")
        models.save(several(x=8, n=1))
        np.testing.assert_allclose(merge.finish().tensor("x"), 8 * 0.5 + 2 * 0.3 + 4 * 0.2, rtol=1e-6)
        models.repo.close()

    @pytest.mark.parametrize("where", ["asked", "rule", "decided"])
    def test_weights_fit_no_other_models(self, tmp_path: Path, where: str) -> None:
        """What the branch stood on was contained in both; what it stands on now is a third one."""
        models = Models(tmp_path)
        asked: dict[str, dict[str, Any]] = {
            "asked": {"method": "linear", "weights": [0.25, 0.75]},
            "rule": {"rules": ["x=linear:weight=0.25/0.75"]},
            "decided": {},
        }
        merge = self.left(models, {}, **asked[where])
        merge.resolve("n", "ours")
        if where == "decided":
            merge.resolve("x", method="linear:weight=0.25/0.75")
        newest = models.save(several(x=8))
        said = "so the models of the merge are main@v2, one@v2, two@v2 now, not one@v2, two@v2: weight was told for"
        with pytest.raises(errors.Diverged, match=said):
            merge.finish()
        assert models.repo.branch("main").head == newest
        merge.abort()
        models.repo.close()

    def test_theirs_is_no_other_model(self, tmp_path: Path) -> None:
        models = Models(tmp_path)
        merge = self.left(models, {}, rules=["x=theirs"])
        merge.resolve("n", "theirs")
        models.save(several(x=8, n=2))
        with pytest.raises(errors.Diverged, match="theirs is another one"):
            merge.finish()
        models.repo.close()

    def test_a_method_for_two_takes_no_third(self, tmp_path: Path) -> None:
        models = Models(tmp_path)
        merge = self.left(models, {}, method="slerp")
        merge.resolve("n", "ours")
        models.save(several(x=8))
        with pytest.raises(errors.Diverged, match="slerp merges exactly 2 models; here are 3"):
            merge.finish()
        models.repo.close()

    def test_what_holds_for_any_models_goes_on(self, tmp_path: Path) -> None:
        models = Models(tmp_path)
        merge = self.left(models, {}, method="linear")
        merge.resolve("n", "ours")
        models.save(several(x=6, n=2))
        with pytest.raises(errors.Diverged, match="waits for 1 decision: n"):
            merge.finish()  # ours is another model now, though it has the same here
        merge.resolve("n", "ours")
        assert (merge.finish().tensor("x") == 4).all()
        models.repo.close()


def several(x: float = 0, n: int = 0) -> dict[str, np.ndarray[Any, Any]]:
    return {"x": np.full(300, x, np.float32), "n": np.full(300, n, np.int64)}


JUDGE = (
    f'{sys.executable} -c "import json, os, numpy as np; from safetensors.numpy import load_file; '
    "t = load_file(os.path.join(os.environ['LEPTON_AI_CANDIDATE'], 'model.safetensors')); "
    "print(json.dumps({'accuracy': -abs(float(t['c'].sum()) - TARGET)}))\""
)


def judging(step: float) -> str:
    """A command that finds the candidate best whose ``c`` went by ``step``."""
    return JUDGE.replace("TARGET", repr(float((START["c"] + np.float32(step)).sum())))


class TestEvaluate:
    @pytest.mark.parametrize(("step", "winner"), [(1.0, "ours"), (2.0, "theirs"), (1.5, "linear")])
    def test_the_best_candidate_is_kept_and_all_results(
        self, parted: Parted, step: float, winner: str
    ) -> None:
        version = parted.repo.merge_branch("feature", evaluate=judging(step))
        assert version is not None
        np.testing.assert_allclose(version.tensor("c"), START["c"] + step, rtol=1e-5)
        account = version.merged
        assert account is not None
        assert [one.candidate for one in account.scores] == ["ours", "theirs", "linear"]
        values = {one.candidate: one.value for one in account.scores}
        assert (
            max(values, key=lambda name: values[name] or 0.0 if values[name] is not None else -1e9) == winner
        )
        assert account.judge is not None
        assert account.judge.command == judging(step)
        assert version.metrics == {"accuracy": values[winner]}
        assert parted.repo.replay_merge(version)

    def test_of_a_merge_in_progress(self, parted: Parted, merge: UnfinishedMerge) -> None:
        names = merge.resolve(
            "c", evaluate=judging(2.0), candidates=["ours", "take_theirs", "slerp:t=0.5"], why="tried"
        )
        assert names == ["c"]
        (one,) = (one.resolution for one in merge.conflicts if one.name == "c")
        assert one is not None
        assert (one.how, one.why) == ("theirs", "tried")
        assert set(one.results) == {"ours", "take_theirs", "slerp:t=0.5"}
        assert merge.open == ["config.json"]

    def test_candidates_that_fail_are_told_and_passed_over(self, parted: Parted) -> None:
        version = parted.repo.merge_branch("feature", evaluate=judging(2.0), candidates=["fisher", "theirs"])
        assert version is not None
        assert version.merged is not None
        failed, good = version.merged.scores
        assert "fisher" in failed.failure
        assert good.value is not None

    def test_nothing_is_done_when_all_fail(self, parted: Parted) -> None:
        with pytest.raises(errors.UsageError, match="ours: it ended with 3"):
            parted.repo.merge_branch("feature", evaluate="exit 3")
        assert parted.repo.branch("main").head == parted.ours
        assert parted.repo.merges_in_progress() == []

    def test_the_judge_sees_the_whole_candidate(self, parted: Parted, tmp_path: Path) -> None:
        command = f"cat {{dir}}/config.json >> {tmp_path}/seen; echo score=$(ls {{dir}} | wc -l)"
        parted.repo.merge_branch("feature", evaluate=command, candidates=["ours", "theirs", "ties"])
        seen = (tmp_path / "seen").read_text()
        assert [json.loads(one + "}")["hidden"] for one in seen.split("\n}\n")[:-1]] == [16, 32, 16]

    @pytest.mark.parametrize(
        "asked",
        [
            {"candidates": ["ours"]},
            {"metric": "x"},
            {"evaluate": "x", "best": "most"},
            {"evaluate": "x", "candidates": ["a", "a"]},
        ],
    )
    def test_what_cannot_be_asked(self, parted: Parted, asked: Any) -> None:
        with pytest.raises(errors.UsageError):
            parted.repo.merge_branch("feature", **asked)

    def test_what_a_killed_one_leaves_in_plain_is_gone_at_the_next_command(self, parted: Parted) -> None:
        code = (
            "import sys; from lepton_ai.repository import ModelRepository; "
            "ModelRepository(sys.argv[1]).merge_branch('feature', evaluate='kill -9 $PPID; sleep 1')"
        )
        killed = subprocess.run([sys.executable, "-c", code, str(parted.repo.path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        left = list((parted.repo.path / ".lepton" / "tmp").glob("staging-*"))
        assert [path.name for folder in left for path in folder.glob("*.safetensors")] == [
            "model.safetensors"
        ]
        for folder in left:
            assert folder.stat().st_mode & 0o077 == 0
            os.utime(folder, times=(1.0, 1.0))
        with ModelRepository(parted.repo.path, create=False) as other:
            assert not any(folder.exists() for folder in left)
            other.log()
