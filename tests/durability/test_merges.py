"""Merges that wait, several processes at once, and a process that dies at any step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_ai import errors
from lepton_ai.repository import ModelRepository
from tests.journeys.parted import START, Parted, same

from . import children
from .test_concurrency import run_together

EVENTS = (1, 2, 3, 5, 8, 11, 14, 17, 20, 23, 26, 29, 32, 36, 40, 45, 50, 60)
NAMES = [f"t{n}" for n in range(6)]


def decide(repo: str, who: str, target: str, take: str) -> None:
    """Resolve one conflict; being too late for it is fine."""
    with ModelRepository(repo, create=False, author=who) as repository:
        try:
            repository.merge_in_progress().resolve(target, take, why=who)
        except errors.Diverged as problem:
            assert "decided for" in problem.message  # noqa: PT017  (in a child: an assertion is its exit code)


def end(repo: str, who: str, abort: bool) -> None:
    """Finish or abort; being too late is fine."""
    with ModelRepository(repo, create=False, author=who) as repository:
        try:
            merge = repository.merge_in_progress()
            merge.abort() if abort else merge.finish()
        except (errors.NotFound, errors.LostRace):
            pass


def act(repo: str, what: str, event: int) -> None:
    """Do one thing with the merge of ``feature``, and die at an event (0: live)."""
    progress = children.die_at(event)
    with ModelRepository(repo, create=False, author="child", progress=progress) as repository:
        if what == "begin":
            try:
                repository.merge_branch("feature", on_conflict="stop")
            except errors.Diverged:
                return
        merge = repository.merge_in_progress()
        if what == "resolve":
            merge.resolve("c", file=Path(repo).parent / "c.npy", force=True)
        else:
            merge.finish()


def many(tmp_path: Path) -> ModelRepository:
    """Six tensors in conflict."""
    repo = ModelRepository(tmp_path / "repo", author="Anna")

    def save(branch: str, step: float) -> None:
        np.savez(tmp_path / "m.npz", **{name: np.full(300, step, np.float32) for name in NAMES})
        repo.save_files(tmp_path / "m.npz", branch)

    save("main", 0)
    repo.create_branch("feature")
    save("feature", 1)
    save("main", 2)
    with pytest.raises(errors.Diverged):
        repo.merge_branch("feature", on_conflict="stop")
    return repo


def test_people_who_decide_at_once_lose_nothing_of_each_other(tmp_path: Path) -> None:
    with many(tmp_path) as repo:
        place = str(repo.path)
        run_together(
            *((decide, place, f"person {n}", name, "theirs") for n, name in enumerate(NAMES)),
            (decide, place, "person 9", NAMES[0], "ours"),
            (children.collect, place, 0),
        )
        merge = repo.merge_in_progress()
        assert merge.open == []
        found = {one.name: one.resolution for one in merge.conflicts}
        for n, name in enumerate(NAMES[1:], 1):
            resolution = found[name]
            assert resolution is not None
            assert (resolution.how, resolution.by, resolution.why) == ("theirs", f"person {n}", f"person {n}")
        first = found[NAMES[0]]
        assert first is not None
        assert (first.by, first.how) in (("person 0", "theirs"), ("person 9", "ours"))


@pytest.mark.parametrize("ends", [(False, False, False), (False, True, False)])
def test_a_merge_ends_once(tmp_path: Path, ends: tuple[bool, ...]) -> None:
    with many(tmp_path) as repo:
        repo.merge_in_progress().resolve("*", "theirs")
        run_together(*((end, str(repo.path), f"person {n}", abort) for n, abort in enumerate(ends)))
        assert repo.merges_in_progress() == []
        head = repo.branch("main").head
        assert head is not None
        assert head.name in (("v3",) if not any(ends) else ("v2", "v3"))
        assert len(repo.log("merge/main")) == 3
        assert repo.verify().clean


def test_killed_at_any_step_the_merge_goes_on(tmp_path: Path) -> None:
    parted = Parted(tmp_path)
    place = str(parted.repo.path)
    given = np.linspace(0, 1, START["c"].size).astype(np.float32)
    np.save(tmp_path / "c.npy", given)
    for what in ("begin", "resolve", "finish"):
        codes = [children.run(act, place, what, event) for event in EVENTS if not _done(parted, what)]
        assert any(codes), f"nothing was killed while it should {what}"
        if not _done(parted, what):
            assert children.run(act, place, what, 0) == 0
        assert _done(parted, what)
        assert parted.repo.verify().clean
        if what == "resolve":
            parted.repo.merge_in_progress().resolve("config.json", "ours")
            parted.repo.gc(grace=0)
    head = parted.repo.branch("main").head
    assert head is not None
    assert same(head.tensor("c"), given)
    assert head.parents == (parted.ours.id, parted.theirs.id)
    assert [info.name for info in parted.repo.list_versions("main")] == ["v1", "v2", "v3"]
    assert not list((parted.repo.path / ".lepton" / "staging").glob("*/computed"))


def _done(parted: Parted, what: str) -> bool:
    waiting = parted.repo.merges_in_progress()
    if what == "begin":
        return bool(waiting)
    if what == "resolve":
        return "c" not in waiting[0].open
    return not waiting
