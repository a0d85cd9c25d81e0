"""However often it is stopped, an import makes every version once; later ones bring only what is new."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from lepton_ai import ModelRepository
from lepton_ai.history.refs.contract import Commit
from lepton_ai.incoming.recognising import open_source
from lepton_ai.incoming.taking import bring
from tests.durability import children

from .conftest import Bring
from .test_sources import Unpack, files, git, line


class _Killed(BaseException):
    """Ends everything at once, as a kill does."""


def state(repository: ModelRepository) -> dict[str, Any]:
    """All that people see: branches with their versions' content and messages, names, and nothing of when."""

    def told(version: Any) -> tuple[Any, ...]:
        parents = [repository.version(parent) for parent in version.parents]
        return (
            version.message,
            version.content_id,
            version.author,
            [p.message for p in parents],
            version.metrics,
        )

    branches = {
        branch.name: [repr(told(v)) for v in line(repository, branch.name)]
        for branch in repository.branches()
    }
    labels = {**repository.tags(), **repository.aliases()}
    return {"branches": branches, "labels": {name: version.message for name, version in labels.items()}}


def commits(repository: ModelRepository, after: int, *, done: bool) -> list[int]:
    """Be killed at the ``after``-th commit from now: before it, or (``done``) when it is made. 0: only count down."""
    real, left = repository.home.history.commit, [after]

    def commit(change: Commit) -> None:
        left[0] -= 1
        if left[0] == 0 and not done:
            raise _Killed
        real(change)
        if left[0] == 0:
            raise _Killed

    repository.home.history.commit = commit  # type: ignore[method-assign]
    return left


@pytest.fixture
def whole(source: Unpack, tmp_path: Path) -> tuple[Path, dict[str, Any], int, int]:
    """A source, what its import makes, of how many versions, in how many commits."""
    place = source("dvc") / "project"
    with ModelRepository(tmp_path / "whole", encrypt=False) as repository:
        made = commits(repository, 0, done=False)
        bring(repository, open_source(str(place)))
        return place, state(repository), len(repository.home.history.scan("version/")), -made[0]


def stop(place: Path, folder: Path, step: int, *, done: bool) -> None:
    """Import until the ``step``-th commit, and be killed there."""
    with ModelRepository(folder, encrypt=False) as stopped:
        commits(stopped, step, done=done)
        with pytest.raises(_Killed):
            bring(stopped, open_source(str(place)))


def goes_on(whole: tuple[Path, dict[str, Any], int, int], folder: Path, step: int, *, done: bool) -> None:
    place, expected, versions, _ = whole
    stop(place, folder, step, done=done)
    with ModelRepository(folder) as again:
        report = bring(again, open_source(str(place)))
        assert state(again) == expected
        assert len(again.home.history.scan("version/")) == versions
        assert len(report.taken) + report.known == versions
        assert again.verify(fast=True).clean


@pytest.mark.parametrize("done", [False, True])
def test_killed_at_some_commits_it_goes_on(
    done: bool, whole: tuple[Path, dict[str, Any], int, int], tmp_path: Path
) -> None:
    *_, last = whole
    assert last > 12
    for step in range(1 + 2 * done, last + 1, 5):
        goes_on(whole, tmp_path / f"at {step}", step, done=done)


@pytest.mark.slow
@pytest.mark.parametrize("done", [False, True])
def test_killed_at_every_commit_it_goes_on(
    done: bool, whole: tuple[Path, dict[str, Any], int, int], tmp_path: Path
) -> None:
    for step in range(1, whole[-1] + 1):
        goes_on(whole, tmp_path / f"at {step}", step, done=done)


def test_killed_again_and_again_it_ends(whole: tuple[Path, dict[str, Any], int, int], tmp_path: Path) -> None:
    place, expected, _, last = whole
    kills = 0
    for _ in range(last):
        with ModelRepository(tmp_path / "often", encrypt=False) as repository:
            commits(repository, 4, done=bool(kills % 2))
            try:
                bring(repository, open_source(str(place)))
            except _Killed:
                kills += 1
                continue
        break
    with ModelRepository(tmp_path / "often") as repository:
        assert kills > 3
        assert state(repository) == expected


def _import(repo: str, place: str, event: int) -> None:
    with ModelRepository(repo, create=False, author="child", progress=children.die_at(event)) as repository:
        bring(repository, open_source(place))


@pytest.mark.parametrize("event", [40, 150, 350])
def test_killed_for_real(event: int, source: Unpack, repository: ModelRepository, bring_in: Bring) -> None:
    place = source("git-lfs") / "model"
    child = children.child(_import, str(repository.path), str(place), event)
    child.start()
    child.join()
    report = bring_in(place)
    assert report.known + len(report.taken) == 4
    assert len(repository.home.history.scan("version/")) == 4
    assert [version.message for version in line(repository, "main")] == [
        "First weights", "Better weights", "Say the right size",
    ]  # fmt: skip
    assert repository.verify().clean


def commit(place: Path, message: str, **written: str) -> None:
    for name, text in written.items():
        (place / name.replace("__", ".")).write_text(text)
    git(place, "add", "-A")
    git(place, "-c", "user.name=Cy", "-c", "user.email=cy@example.com", "commit", "-q", "-m", message)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """A git repository in which LFS is not needed to commit."""
    place = tmp_path / "plain"
    git(tmp_path, "init", "-q", "-b", "main", str(place))
    commit(place, "one", model__txt="one")
    commit(place, "two", model__txt="two")
    return place


def test_a_second_import_brings_what_is_new(
    plain: Path, repository: ModelRepository, bring_in: Bring
) -> None:
    assert len(bring_in(plain, kind="git-lfs", paths=["model.txt"]).taken) == 2
    git(plain, "checkout", "-q", "-b", "dev")
    commit(plain, "three", model__txt="three")
    git(plain, "checkout", "-q", "main")
    report = bring_in(plain, kind="git-lfs", paths=["model.txt"])
    assert (report.known, [taken.message for taken in report.taken]) == (2, ["three"])
    git(plain, "merge", "-q", "--ff-only", "dev")
    commit(plain, "four", model__txt="four")
    git(plain, "branch", "-q", "empty")
    report = bring_in(plain, kind="git-lfs", paths=["model.txt"])
    assert [(taken.branch, taken.message) for taken in report.taken] == [("main", "four")]
    assert [version.message for version in line(repository, "main")] == ["one", "two", "three", "four"]
    assert [version.message for version in line(repository, "dev")] == ["one", "two", "three"]
    assert [version.message for version in line(repository, "empty")] == ["one", "two", "three", "four"]
    assert bring_in(plain, kind="git-lfs", paths=["model.txt"]).taken == []


def test_versions_of_ones_own_stay_where_they_are(
    plain: Path, repository: ModelRepository, bring_in: Bring
) -> None:
    (plain / "own.txt").write_text("own")
    repository.save_files(plain / "own.txt", message="before")
    asked = {"kind": "git-lfs", "paths": ["model.txt"]}
    bring_in(plain, **asked)
    repository.save_files(plain / "own.txt", message="after")
    assert bring_in(plain, **asked).renamed == []
    (plain / "own.txt").unlink()
    commit(plain, "three", model__txt="three")
    commit(plain, "four", model__txt="four")
    report = bring_in(plain, **asked)
    (renamed,) = report.renamed
    assert (renamed.before, renamed.why) == ("main", "main has other versions here")
    assert [version.message for version in line(repository, "main")] == ["before", "one", "two", "after"]
    assert [version.message for version in line(repository, renamed.after)] == [
        "before",
        "one",
        "two",
        "three",
        "four",
    ]
    commit(plain, "five", model__txt="five")
    assert [taken.branch for taken in bring_in(plain, **asked).taken] == [renamed.after]
    assert len(repository.branches()) == 2


def test_a_branch_that_was_rewritten_there(plain: Path, repository: ModelRepository, bring_in: Bring) -> None:
    asked = {"kind": "git-lfs", "paths": ["model.txt"]}
    bring_in(plain, **asked)
    git(plain, "reset", "-q", "--hard", "HEAD~1")
    commit(plain, "other", model__txt="other")
    (renamed,) = bring_in(plain, **asked).renamed
    assert [version.message for version in line(repository, "main")] == ["one", "two"]
    assert [version.message for version in line(repository, renamed.after)] == ["one", "other"]
    assert bring_in(plain, **asked).taken == []


def test_a_dry_run_changes_nothing(source: Unpack, repository: ModelRepository, bring_in: Bring) -> None:
    before = [(ref.key, ref.stamp) for ref in repository.home.history.scan("")]
    report = bring_in(source("dvc") / "project", dry_run=True)
    assert report.dry_run
    assert len(report.taken) == 6
    assert [(ref.key, ref.stamp) for ref in repository.home.history.scan("")] == before


def test_what_is_missing_comes_later_in_a_new_revision(
    source: Unpack, repository: ModelRepository, bring_in: Bring, tmp_path: Path
) -> None:
    place = source("git-lfs") / "model"
    objects = place / ".git" / "lfs" / "objects"
    hidden = tmp_path / "hidden"
    objects.rename(hidden)
    report = bring_in(place)
    assert [(taken.files, taken.missing) for taken in report.taken] == [(2, 1), (2, 1), (2, 2), (2, 1)]
    assert any("there is no such object" in left.why for left in report.left)
    assert any(left.what == "objects on an LFS server" for left in report.left)
    hidden.rename(objects)
    report = bring_in(place)
    assert [(taken.completed, taken.missing) for taken in report.taken] == [(True, 0)] * 4
    first = repository.version("v1", "main")
    assert (first.revision, first.author) == (2, "Anna Müller <anna@example.com>")
    assert "model.safetensors" in files(first, tmp_path)
    assert bring_in(place).taken == []
    assert repository.verify().clean


def test_a_version_of_which_nothing_is_there_is_left_out(
    source: Unpack, repository: ModelRepository, bring_in: Bring
) -> None:
    place = source("git-lfs") / "model"
    oid = git(place, "show", "main~1:model.safetensors").split("sha256:")[1].split()[0]
    (place / ".git" / "lfs" / "objects" / oid[:2] / oid[2:4] / oid).unlink()
    report = bring_in(place, paths=["model.safetensors"])
    assert ("the version", "none of its files can be had") in {(left.what, left.why) for left in report.left}
    assert [version.message for version in line(repository, "main")] == ["First weights"]


@pytest.mark.parametrize(("name", "pattern"), [
    ("dvc/project", ".dvc/cache/files/md5/*/*"), ("git-lfs/model", ".git/lfs/objects/*/*/*"),
    ("huggingface/hub", "models--example--tiny/blobs/*"),
])  # fmt: skip
def test_damaged_bytes_are_not_taken(
    name: str, pattern: str, source: Unpack, repository: ModelRepository, bring_in: Bring
) -> None:
    place = source(name.split("/", maxsplit=1)[0]) / name.split("/")[1]
    damaged = max(place.glob(pattern), key=lambda file: file.stat().st_size)
    damaged.chmod(0o644)
    data = bytearray(damaged.read_bytes())
    data[len(data) // 2] ^= 1
    damaged.write_bytes(data)
    report = bring_in(place)
    assert {left.why for left in report.left if left.why.startswith(str(damaged.resolve()))}, report.left
    wrong = [file.path for v in repository.list_versions() for file in repository.version(v.id).files
             if file.sha256 == __import__("hashlib").sha256(data).hexdigest()]  # fmt: skip
    assert wrong == []


def test_what_a_record_cannot_keep_is_told(plain: Path, repository: ModelRepository, bring_in: Bring) -> None:
    (plain / "dvc.yaml").write_text("metrics: [metrics.json]\nparams: [settings.toml]\n")
    (plain / "metrics.json").write_text('{"accuracy": 1, "name": "best", "deep": {"huge": Infinity}}')
    commit(plain, "numbers", settings__toml="day = 2024-01-01\nlr = 0.5\nbig = 99999999999999999999\n")
    report = bring_in(plain, kind="dvc", paths=["model.txt"])
    head = repository.branch("main").head
    assert head is not None
    assert head.metrics == {"accuracy": 1.0, "deep.huge": float("inf")}
    assert head.params == {"lr": 0.5}
    assert {left.what for left in report.left} == {"metric name of metrics.json", "param day", "param big"}


def test_links_and_odd_paths(plain: Path, repository: ModelRepository, bring_in: Bring) -> None:
    (plain / "link").symlink_to("model.txt")
    (plain / "out").symlink_to("/etc/passwd")
    (plain / ".lepton").mkdir()
    (plain / ".lepton" / "x").write_text("x")
    commit(plain, "links")
    report = bring_in(plain, kind="git-lfs", paths=["."])
    head = repository.branch("main").head
    assert head is not None
    assert {file.path: file.target for file in head.files} == {"model.txt": None, "link": "model.txt"}
    assert sorted(left.what for left in report.left) == ["file '.lepton/x'", "link out"]


def test_names_that_are_taken_or_not_allowed(
    plain: Path, repository: ModelRepository, bring_in: Bring
) -> None:
    git(plain, "branch", "feature~1".replace("~", "#"))
    git(plain, "tag", "model@v1.2")
    git(plain, "tag", "vendor")
    repository.create_branch("vendor")
    report = bring_in(plain, kind="git-lfs", paths=["model.txt"])
    assert {(r.what, r.before, r.after) for r in report.renamed} == {
        ("branch", "feature#1", "feature-1"), ("tag", "model@v1.2", "model-v1.2"), ("tag", "vendor", "vendor-tag"),
    }  # fmt: skip
    again = bring_in(plain, kind="git-lfs", paths=["model.txt"])
    assert (again.taken, again.labels, again.renamed) == ([], [], [])


def test_deleted_versions_do_not_come_again(
    plain: Path, repository: ModelRepository, bring_in: Bring
) -> None:
    asked = {"kind": "git-lfs", "paths": ["model.txt"]}
    bring_in(plain, **asked)
    repository.delete_version(repository.version("v2"))
    commit(plain, "three", model__txt="three")
    report = bring_in(plain, **asked)
    assert (report.known, [taken.message for taken in report.taken]) == (2, ["three"])
    assert [version.message for version in line(repository, "main")] == ["one", "three"]


def test_a_merge_of_nothing_new_is_no_version(
    plain: Path, repository: ModelRepository, bring_in: Bring
) -> None:
    git(plain, "checkout", "-q", "-b", "words", "HEAD~1")
    commit(plain, "words", README__md="words")
    git(plain, "checkout", "-q", "main")
    git(
        plain,
        "-c",
        "user.name=a",
        "-c",
        "user.email=a",
        "merge",
        "-q",
        "--no-ff",
        "-m",
        "merge words",
        "words",
    )
    assert [taken.message for taken in bring_in(plain, kind="git-lfs", paths=["model.txt"]).taken] == [
        "one",
        "two",
    ]
    assert [version.message for version in line(repository, "words")] == ["one"]


def test_a_shallow_clone_says_that_it_is_one(plain: Path, tmp_path: Path, bring_in: Bring) -> None:
    subprocess.run(["git", "clone", "-q", "--depth=1", plain.as_uri(), tmp_path / "shallow"], check=True)
    report = bring_in(tmp_path / "shallow", kind="git-lfs", paths=["model.txt"])
    assert [taken.message for taken in report.taken] == ["two"]
    assert report.left[0].what == "the older history"
