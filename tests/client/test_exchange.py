"""Push, pull and clone between two folders of one repository."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import ModelRepository
from lepton_ai.client.sync import push as push_
from lepton_ai.errors import AlreadyExists, Diverged, NotFound, UsageError
from tests.client.places import content, names, save, size_of, tuned, weights


@pytest.fixture
def ours(tmp_path: Path) -> Iterator[ModelRepository]:
    with ModelRepository(tmp_path / "ours", author="ada") as repo:
        repo.add_remote("origin", tmp_path / "theirs")
        yield repo


@pytest.fixture
def theirs(ours: ModelRepository, tmp_path: Path) -> Iterator[ModelRepository]:
    """The other place, with v1 and v2."""
    model = weights()
    save(ours, tmp_path / "in", model, metrics={"loss": 0.5})
    save(ours, tmp_path / "in", tuned(model, 1), message="tuned")
    ours.push()
    with ModelRepository(tmp_path / "theirs", create=False, author="bob") as repo:
        yield repo


def test_a_push_makes_the_other_place_and_brings_everything(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    assert names(theirs) == ["v1", "v2"]
    for name in ("v1", "v2"):
        assert theirs.version(name).id == ours.version(name).id
        assert content(theirs, name, tmp_path / "out") == content(ours, name, tmp_path / "own")
    assert theirs.verify().clean
    again = ours.push()
    assert (again.versions, again.objects, again.bytes, again.branches) == ((), 0, 0, ())


def test_a_fine_tune_costs_its_difference_in_either_direction(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    for number in range(3, 6):
        before = size_of(ours)
        save(ours, tmp_path / "in", tuned(weights(), number))
        stored = size_of(ours) - before
        pushed = ours.push()
        assert pushed.versions == (f"v{number}",)
        assert 0 < pushed.bytes <= 1.05 * stored < 100_000
        assert content(theirs, f"v{number}", tmp_path / "out") == content(
            ours, f"v{number}", tmp_path / "own"
        )
    before = size_of(theirs)
    save(theirs, tmp_path / "in", tuned(weights(), 9))
    stored = size_of(theirs) - before
    pulled = ours.pull()
    assert pulled.branches == ("main",)
    assert 0 < pulled.bytes <= 1.05 * stored
    assert content(theirs, "v6", tmp_path / "out") == content(ours, "v6", tmp_path / "own")
    assert ours.verify().clean
    assert theirs.verify().clean


def test_branches_tags_aliases_updates_and_deletions_travel(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    feature = ours.create_branch("feature", base="v1")
    save(ours, tmp_path / "in", tuned(weights(), 3), "feature")
    ours.update_version("v2", metrics={"accuracy": 0.75})
    ours.tag("release", "v1")
    ours.set_alias("production", "v2")
    pushed = ours.push(branches=["main", feature])
    assert set(pushed.branches) == {"main", "feature"}
    assert set(pushed.labels) == {"tag/release", "alias/production"}
    assert theirs.version("v2").metrics == {"accuracy": 0.75}
    assert len(theirs.revisions(theirs.version("v2"))) == 2
    assert theirs.tags()["release"].name == "v1"
    assert theirs.aliases()["production"].id == ours.version("v2").id
    assert [branch.name for branch in theirs.branches()] == ["main", "feature"]
    ours.set_alias("production", "v1")
    ours.remove_tag("release")
    ours.delete_version("v2", why="worse")
    pushed = ours.push()
    assert names(theirs) == ["v1"]
    assert theirs.tags() == {}
    assert theirs.aliases()["production"].name == "v1"
    with pytest.raises(NotFound, match=r"deleted by ada .*worse"):
        theirs.version("v2")
    theirs.restore_version("v2")
    ours.pull()
    assert ours.version("v2").metrics == {"accuracy": 0.75}


def test_a_label_that_both_changed_stays_as_it_is(ours: ModelRepository, theirs: ModelRepository) -> None:
    ours.set_alias("best", "v1")
    ours.push()
    ours.set_alias("best", "v2")
    theirs.remove_alias("best")
    pushed = ours.push()
    assert pushed.labels == ()
    assert "alias 'best' was changed" in pushed.notes[0]
    assert theirs.aliases() == {}


def test_a_diverged_push_is_refused_and_nothing_is_seen(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    save(ours, tmp_path / "in", tuned(weights(), 3))
    save(theirs, tmp_path / "in", tuned(weights(), 4))
    before = theirs.home.history.scan("")
    with pytest.raises(Diverged, match=r"lepton pull origin --merge"):
        ours.push()
    assert [ref for ref in theirs.home.history.scan("") if not ref.key.startswith("lease/")] == before
    with pytest.raises(Diverged, match=r"lepton pull --merge"):
        ours.pull()
    assert names(ours) == ["v1", "v2", "v3"]
    assert theirs.verify().clean
    assert ours.verify().clean


def test_a_push_that_is_overtaken_after_it_looked_is_refused(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What somebody pushed between our look at the branch and our commit must not be lost."""
    save(ours, tmp_path / "in", tuned(weights(), 7))
    judge = push_.standing

    def overtaken(*arguments: Any) -> object:
        found = judge(*arguments)
        monkeypatch.setattr(push_, "standing", judge)
        save(theirs, tmp_path / "in2", tuned(weights(), 8), message="first")
        return found

    monkeypatch.setattr(push_, "standing", overtaken)
    with pytest.raises(Diverged):
        ours.push()
    assert names(theirs) == ["v1", "v2", "v3"]
    assert theirs.version("v3").message == "first"


def test_merging_keeps_published_names(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    mine, model = tuned(weights(), 1), tuned(weights(), 1)
    mine["layer0"] = mine["layer0"] + np.float32(1)
    model["layer1"] = model["layer1"] + np.float32(2)
    own = save(ours, tmp_path / "in", mine)
    published = save(theirs, tmp_path / "in", model)
    pulled = ours.pull(how="merge")
    assert pulled.branches == ("main",)
    assert names(ours) == ["v1", "v2", "v3", "v4"]
    assert ours.version("v3").id == published.id
    assert ours.version("main-mine@v3").id == own.id
    merged = ours.version("v4")
    assert np.array_equal(merged.tensor("layer0"), mine["layer0"])
    assert np.array_equal(merged.tensor("layer1"), model["layer1"])
    ours.push()
    assert names(theirs) == ["v1", "v2", "v3", "v4"]
    assert theirs.version("v3").id == published.id
    assert theirs.verify().clean


def test_rebasing_takes_ours_over_one_by_one(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    first, model = tuned(weights(), 1), tuned(weights(), 1)
    first["layer0"] = first["layer0"] + np.float32(1)
    second = {**first, "layer2": first["layer2"] + np.float32(3)}
    model["layer1"] = model["layer1"] + np.float32(2)
    save(ours, tmp_path / "in", first, message="one")
    save(ours, tmp_path / "in", second, message="two")
    save(theirs, tmp_path / "in", model)
    ours.pull(how="rebase")
    assert names(ours) == ["v1", "v2", "v3", "v5", "v6"]  # v4 was ours, and is never used again
    assert ours.version("v6").message == "two"
    assert np.array_equal(ours.version("v6").tensor("layer1"), model["layer1"])
    assert np.array_equal(ours.version("v6").tensor("layer2"), second["layer2"])
    assert names(ours, "main-mine") == ["v1", "v2", "v3", "v4"]
    ours.push()
    assert names(theirs) == ["v1", "v2", "v3", "v5", "v6"]


def test_a_merge_that_conflicts_leaves_ours_where_it_stood(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    mine = {**weights(), "layer0": weights(7)["layer0"]}
    save(ours, tmp_path / "in", mine)
    save(theirs, tmp_path / "in", {**weights(), "layer0": weights(8)["layer0"]})
    before = ours.branch("main")
    head = ours.lines.branch("main").head
    with pytest.raises(Diverged, match="stands where it stood"):
        ours.pull(how="merge")
    assert ours.lines.branch("main").head == head
    assert [branch.name for branch in ours.branches()] == [before.name]
    ours.pull(how="merge", on_conflict="ours")
    ours.push()
    assert names(theirs) == ["v1", "v2", "v3", "v4"]


def test_a_dry_run_tells_and_changes_nothing(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    save(ours, tmp_path / "in", tuned(weights(), 3))
    told = ours.push(dry_run=True)
    assert (told.versions, told.branches, told.dry_run) == (("v3",), ("main",), True)
    assert names(theirs) == ["v1", "v2"]
    done = ours.push()
    assert told.objects == done.objects
    assert abs(told.bytes - done.bytes) < 0.2 * done.bytes + 2000
    save(theirs, tmp_path / "in", tuned(weights(), 4))
    assert ours.pull(dry_run=True).versions == ("v4",)
    assert names(ours) == ["v1", "v2", "v3"]


def test_a_clone_has_everything(ours: ModelRepository, theirs: ModelRepository, tmp_path: Path) -> None:
    ours.create_branch("feature")
    ours.push(branches=["feature"])
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "copy") as copy:
        assert names(copy) == ["v1", "v2"]
        assert {branch.name for branch in copy.branches()} == {"main", "feature"}
        assert content(copy, "v2", tmp_path / "out") == content(ours, "v2", tmp_path / "own")
        assert copy.verify().clean
        assert size_of(copy) <= 1.01 * size_of(theirs)
        save(copy, tmp_path / "in", tuned(weights(), 5))
        copy.push()
        assert names(theirs) == ["v1", "v2", "v3"]
    with pytest.raises(AlreadyExists, match="lepton pull"):
        ModelRepository.clone(tmp_path / "theirs", tmp_path / "copy")


def test_several_fine_tunes_cost_their_differences_in_one_push(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    """Each is stored as a difference to the next one here, and travels as one to the version before."""
    for number in range(3, 7):
        save(ours, tmp_path / "in", tuned(weights(), number))
    assert ours.push(dry_run=True).bytes < 200_000
    pushed = ours.push()
    assert pushed.versions == ("v3", "v4", "v5", "v6")
    assert 0 < pushed.bytes < 200_000
    for number in range(1, 7):
        assert content(theirs, f"v{number}", tmp_path / "out") == content(
            ours, f"v{number}", tmp_path / "own"
        )
    assert theirs.verify().clean


def test_a_fine_tune_in_a_clone_costs_its_difference_to_push(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    """Also above a way of differences so long that it is stored in full there."""
    for number in range(3, 6):
        save(ours, tmp_path / "in", tuned(weights(), number))
        ours.push()
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "clone") as clone:
        for number in range(6, 9):
            save(clone, tmp_path / "in", tuned(weights(), number))
            pushed = clone.push()
            assert pushed.versions == (f"v{number}",)
            assert 0 < pushed.bytes < 100_000
            assert content(theirs, f"v{number}", tmp_path / "out") == content(
                clone, f"v{number}", tmp_path / "own"
            )
        assert clone.verify().clean
    assert theirs.verify().clean


def test_one_branch_is_cloned_alone(ours: ModelRepository, theirs: ModelRepository, tmp_path: Path) -> None:
    ours.create_branch("feature", base="v1")
    ours.push(branches=["feature"])
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "copy", branch="feature") as copy:
        assert copy.current_branch == "feature"
        assert names(copy, "feature") == ["v1"]
        save(theirs, tmp_path / "in", tuned(weights(), 6))
        copy.pull()
        assert [info.name for info in copy.list_versions()] == ["v1"]


def test_what_was_left_there_is_fetched_when_it_is_read(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "copy", content=False) as copy:
        assert size_of(copy) < 10_000
        assert copy.verify().clean
        tensor = copy.version("v1").tensor("layer2")
        assert np.array_equal(tensor, weights()["layer2"])
        assert size_of(copy) < 0.5 * size_of(ours)
        assert content(copy, "v2", tmp_path / "out") == content(ours, "v2", tmp_path / "own")
        save(copy, tmp_path / "in", tuned(weights(), 5))
        copy.push()
    assert names(theirs) == ["v1", "v2", "v3"]
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "shallow", depth=1) as shallow:
        assert names(shallow) == ["v1", "v2", "v3"]
        (tmp_path / "theirs").rename(tmp_path / "away")
        assert content(shallow, "v3", tmp_path / "out") == content(ours_or(theirs), "v3", tmp_path / "own")


def ours_or(repo: ModelRepository) -> ModelRepository:
    return ModelRepository(repo.path.parent / "away", create=False)


def test_other_repositories_are_not_mixed(ours: ModelRepository, tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "other"):
        ours.add_remote("other", tmp_path / "other")
        with pytest.raises(UsageError, match="is another repository"):
            ours.push("other")


def test_remotes_are_listed_and_forgotten(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path
) -> None:
    ours.add_remote("backup", tmp_path / "backup")
    assert [(remote.name, remote.url) for remote in ours.remotes()] == [
        ("backup", str(tmp_path / "backup")),
        ("origin", str(tmp_path / "theirs")),
    ]
    ours.push("backup")
    ours.remove_remote("backup")
    assert [remote.name for remote in ours.remotes()] == ["origin"]
    assert ours.home.history.scan("remote/backup") == []
    with pytest.raises(NotFound, match="no remote 'backup'"):
        ours.push("backup")
    with pytest.raises(AlreadyExists, match="origin"):
        ours.add_remote("origin", tmp_path)


def test_a_clone_that_was_killed_as_it_began_goes_on(
    ours: ModelRepository, theirs: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it had made the repository, and before."""

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("lepton_ai.client.sync.cloning.Home", killed)
        with pytest.raises(KeyboardInterrupt):
            ModelRepository.clone(tmp_path / "theirs", tmp_path / "copy")
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "copy") as copy:
        assert names(copy) == names(ours)
    left = tmp_path / "other" / ".lepton-new-0123abcd"
    (left / "keys").mkdir(parents=True)
    os.utime(left, (1, 1))
    with ModelRepository.clone(tmp_path / "theirs", tmp_path / "other") as other:
        assert names(other) == names(ours)
    assert [entry.name for entry in (tmp_path / "other").iterdir()] == [".lepton"]
