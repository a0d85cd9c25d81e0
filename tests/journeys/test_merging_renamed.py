"""Merging with a branch on which the same tensors have other names, and with the code that goes with it."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import errors
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository
from tests.journeys.parted import same

NAMES = [f"h.{n}.{part}" for n in range(3) for part in ("attn.w", "attn.b", "mlp.w")]
START = {
    name: np.zeros(700, np.float32) if name.endswith(".b")
    else np.random.default_rng(n).normal(size=700).astype(np.float32)
    for n, name in enumerate(NAMES)
}  # fmt: skip


def refactored(name: str) -> str:
    return "model." + name.replace("h.", "layers.").replace("attn", "attention")


class Lines:
    """A repository, and saving tensors in it that went by some steps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = ModelRepository(folder / "repo", author="Anna")
        self.save("main", {})
        self.repo.create_branch("refactor")

    def save(
        self, branch: str, steps: dict[str, float], rename: Callable[[str], str] = str, **more: Any
    ) -> Version:
        tensors = {rename(name): START[name] + np.float32(steps.get(name, 0)) for name in START} | more
        save_file(tensors, self.folder / "model.safetensors")
        return self.repo.save_files(self.folder / "model.safetensors", branch)


@pytest.fixture
def lines(tmp_path: Path) -> Iterator[Lines]:
    lines = Lines(tmp_path)
    yield lines
    lines.repo.close()


def check(merged: Version | None, steps: dict[str, float], rename: Callable[[str], str] = refactored) -> None:
    assert merged is not None
    assert {tensor.name for tensor in merged.tensors()} == {rename(name) for name in START}
    for name, start in START.items():
        assert same(merged.tensor(rename(name)), start + np.float32(steps.get(name, 0))), name


class TestRenamed:
    def test_a_refactor_there_and_training_here(self, lines: Lines) -> None:
        lines.save("refactor", {}, refactored)
        lines.save("main", {"h.0.attn.w": 1.0, "h.2.attn.b": 2.0})
        check(lines.repo.merge_branch("refactor"), {"h.0.attn.w": 1.0, "h.2.attn.b": 2.0})

    def test_a_refactor_here_and_training_there(self, lines: Lines) -> None:
        lines.save("main", {}, refactored)
        lines.save("refactor", {"h.1.mlp.w": 1.0})
        check(lines.repo.merge_branch("refactor"), {"h.1.mlp.w": 1.0})

    def test_training_on_both_sides_of_the_refactor(self, lines: Lines) -> None:
        lines.save("refactor", {"h.0.mlp.w": 2.0, "h.1.attn.w": 2.0}, refactored)
        lines.save("main", {"h.0.attn.w": 1.0, "h.1.attn.w": 1.0})
        preview = lines.repo.preview_merge("refactor")
        assert {one.name for one in preview.conflicts} == {"h.1.attn.w"}
        assert any("renamed 9 tensors" in note for note in preview.notes)
        merged = lines.repo.merge_branch("refactor", rules=["h.1.*=theirs"])
        check(merged, {"h.0.mlp.w": 2.0, "h.1.attn.w": 2.0, "h.0.attn.w": 1.0})
        assert merged is not None
        assert lines.repo.replay_merge(merged)

    def test_everything_was_trained_since_and_a_file_tells_the_names(
        self, lines: Lines, tmp_path: Path
    ) -> None:
        lines.save("refactor", dict.fromkeys(NAMES, 2.0), refactored)
        lines.save("main", {"h.0.attn.w": 0.0, "h.1.attn.w": 1.0})
        with pytest.raises(errors.Diverged):
            lines.repo.merge_branch("refactor")
        names = tmp_path / "names.txt"
        names.write_text("h.*.attn.* -> model.layers.*.attention.*\nh.*.mlp.w -> model.layers.*.mlp.w\n")
        merged = lines.repo.merge_branch("refactor", names=names, on_conflict="ours")
        check(merged, dict.fromkeys(NAMES, 2.0) | {"h.1.attn.w": 1.0})
        names.unlink()
        assert merged is not None
        assert lines.repo.replay_merge(merged)

    @pytest.mark.parametrize(
        ("names", "said"),
        [
            ({"nothing": "model.x"}, "fits no tensor"),
            ({"h.*": "elsewhere.*"}, "which is not there"),
            ({}, "maps nothing"),
            ({"a": 1}, "is no JSON object of texts"),
        ],
    )
    def test_names_that_do_not_fit(self, lines: Lines, names: Any, said: str) -> None:
        lines.save("refactor", {}, refactored)
        lines.save("main", {"h.0.attn.w": 1.0})
        with pytest.raises(errors.UsageError, match=said):
            lines.repo.merge_branch("refactor", names=names)

    def test_zeros_that_go_and_zeros_that_come_have_nothing_to_do_with_each_other(self, lines: Lines) -> None:
        head = {"old.bias": np.zeros(700, np.float32)}
        lines.save("main", {}, **head)
        lines.repo.create_branch("wider")
        lines.save("wider", {}, extra=np.zeros(700, np.float32))
        lines.save("main", {"h.0.attn.w": 1.0}, **{"old.bias": np.ones(700, np.float32)})
        (conflict, *_) = lines.repo.preview_merge("wider").conflicts
        assert conflict.name == "old.bias"
        assert "removed on the other" in conflict.why


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, check=True, text=True)
    return done.stdout.strip()


class TestWithCode:
    @pytest.fixture
    def code(self, tmp_path: Path, lines: Lines, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A checkout whose branches parted like the model's; it is the current folder."""
        monkeypatch.delenv("LEPTON_AI_NO_PROVENANCE", raising=False)
        code = tmp_path / "code"
        code.mkdir()
        git(code, "init", "-q", "-b", "main")
        git(code, "config", "user.name", "Anna")
        git(code, "config", "user.email", "anna@example.org")
        monkeypatch.chdir(code)
        lines.repo.close()
        lines.repo = ModelRepository(lines.repo.path, author="Anna")

        def commit(text: str) -> None:
            (code / "train.py").write_text(text)
            git(code, "add", ".")
            git(code, "commit", "-qm", "change")

        commit("a\nb\nc\n")
        git(code, "checkout", "-qb", "refactor")
        commit("a\nb\nC\n")
        lines.save("refactor", {NAMES[2]: 2.0})
        git(code, "checkout", "-q", "main")
        commit("A\nb\nc\n")
        lines.save("main", {NAMES[0]: 1.0})
        return code

    def test_git_merges_what_parted(self, lines: Lines, code: Path) -> None:
        merged = lines.repo.merge_branch("refactor", with_code=True)
        assert merged is not None
        assert merged.code is not None
        assert merged.code.commit == git(code, "rev-parse", "HEAD")
        assert len(git(code, "log", "-1", "--format=%P").split()) == 2
        assert (code / "train.py").read_text() == "A\nb\nC\n"
        assert not any("the code" in note for note in merged.notes)

    def test_without_it_the_conflict_is_listed(self, lines: Lines, code: Path) -> None:
        head = git(code, "rev-parse", "HEAD")
        foretold = lines.repo.preview_merge("refactor").notes
        assert not any(
            "the code" in note for note in lines.repo.preview_merge("refactor", with_code=True).notes
        )
        merged = lines.repo.merge_branch("refactor")
        assert merged is not None
        assert set(merged.notes) >= set(foretold)
        assert any("went different ways; ours stays" in note for note in foretold)
        assert any("went different ways; ours stays" in note for note in merged.notes)
        assert merged.code is not None
        assert (merged.code.commit, git(code, "rev-parse", "HEAD")) == (head, head)

    def test_a_dirty_checkout_is_refused_before_anything_happens(self, lines: Lines, code: Path) -> None:
        (code / "train.py").write_text("edited")
        with pytest.raises(errors.UsageError, match="uncommitted changes"):
            lines.repo.merge_branch("refactor", with_code=True)
        head = lines.repo.branch("main").head
        assert head is not None
        assert head.name == "v2"

    def test_when_saving_fails_the_code_is_as_it_was(
        self, lines: Lines, code: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        head = git(code, "rev-parse", "HEAD")

        def fail(*_: object) -> None:
            raise errors.NoSpace("no room")

        monkeypatch.setattr("lepton_ai.history.merging.run.check_space", fail)
        with pytest.raises(errors.NoSpace):
            lines.repo.merge_branch("refactor", with_code=True)
        assert git(code, "rev-parse", "HEAD") == head
        assert git(code, "status", "--porcelain") == ""

    @pytest.mark.parametrize("step", ["run.save", "code.follow"])
    def test_killed_on_the_way_it_leaves_the_checkout_as_it_was(
        self, lines: Lines, code: Path, step: str
    ) -> None:
        head = git(code, "rev-parse", "HEAD")
        program = (
            "import os, signal, sys\n"
            "from lepton_ai.history.merging import code, run\n"
            "from lepton_ai.repository import ModelRepository\n"
            f"{step} = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)\n"
            "ModelRepository(sys.argv[1], author='Anna').merge_branch('refactor', with_code=True)\n"
        )
        killed = subprocess.run([sys.executable, "-c", program, str(lines.repo.path)], check=False)
        assert killed.returncode == -signal.SIGKILL
        assert git(code, "rev-parse", "HEAD") == head
        assert git(code, "status", "--porcelain") == ""
        assert not (code / ".git" / "MERGE_HEAD").exists()
        if step == "run.save":  # no version: the merge is repeated, and what was left is taken over
            assert lines.repo.merge_branch("refactor", with_code=True) is not None
        else:  # the version is there: the checkout only has to follow
            git(code, "merge", "--ff-only", git(code, "rev-parse", "refs/lepton/merged-code"))
        merged = lines.repo.branch("main").head
        assert merged is not None
        assert (merged.name, len(merged.parents)) == ("v3", 2)
        assert merged.code is not None
        assert merged.code.commit == git(code, "rev-parse", "HEAD")
        assert (code / "train.py").read_text() == "A\nb\nC\n"
