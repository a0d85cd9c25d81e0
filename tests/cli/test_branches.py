"""branch, switch and merge."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Lepton, model


def test_a_branch_is_created_from_the_newest_of_main_or_from_a_version(three: Lepton) -> None:
    told = three("branch", "feature", "--json").json
    assert list(told) == ["name", "head"]
    assert told["head"]["name"] == "v3"
    assert three("branch", "hotfix", "--from", "v1").out == "branch hotfix starts from main@v1\n"
    assert three("branch", "copy", "--from", "hotfix", "--json").json["head"]["name"] == "v1"


def test_a_branch_from_nothing(lepton: Lepton) -> None:
    lepton("init")
    assert lepton("branch", "feature").out == "branch feature starts from nothing\n"
    assert lepton("branch", "--json").json[1]["head"] is None
    assert "(empty)" in lepton("branch").out


def test_branches_are_listed(three: Lepton) -> None:
    three("branch", "feature")
    first, second = three("branch", "--json").json
    assert list(first) == ["name", "current", "head", "created_at", "created_by", "status", "merge"]
    assert (first["name"], first["current"], first["head"]["name"]) == ("main", True, "v3")
    assert (second["name"], second["current"], second["created_by"]) == ("feature", False, "Anna")
    title, one, two = three("branch").out.splitlines()
    assert title.split() == ["Branch", "Newest", "Id", "Created", "At", "Created", "By", "Status"]
    assert one.startswith("*  main ")
    assert two.startswith("   feature ")


def test_a_branch_that_exists(three: Lepton) -> None:
    three("branch", "feature")
    assert three("branch", "feature", "--json", code=2).error["kind"] == "already-exists"
    three("branch", "feature", "--exist-ok")


def test_a_branch_is_deleted_with_what_only_it_has(three: Lepton) -> None:
    three("branch", "feature")
    three("save", model(step=4), "-b", "feature")
    assert three("branch", "--delete", "feature", "-m", "done", "--json").json == {
        "deleted": "feature", "versions": ["v4"],
    }  # fmt: skip
    assert [b["name"] for b in three("branch", "--json").json] == ["main"]
    assert three("branch", "--deleted", "--json").json[1]["status"] == "Deleted"
    assert three("log", "--limit", "1", "--json").json[0]["why"] == "done"
    assert three("restore", "--branch", "feature").out == "restored branch feature\n"
    assert three("show", "feature@v4", "--json").json["status"] == "Active"
    assert (
        "deleted branch feature with v4; lepton restore --branch feature"
        in three("branch", "--delete", "feature").out
    )


def test_main_stays(three: Lepton) -> None:
    assert three("branch", "--delete", "main", "--json", code=2).error["kind"] == "in-use"
    assert three("branch", "--rename", "main", "trunk", "--json", code=2).error["kind"] == "in-use"


def test_a_branch_is_renamed(three: Lepton) -> None:
    three("branch", "feature")
    assert three("branch", "--rename", "feature", "wider", "--json").json == {
        "renamed": "feature", "name": "wider",
    }  # fmt: skip
    assert [b["name"] for b in three("branch", "--json").json] == ["main", "wider"]
    assert three("branch", "--rename", "wider", "wide").out == "branch wider is called wide now\n"


@pytest.mark.parametrize(
    "arguments",
    [
        ["a", "b"],
        ["--delete"],
        ["--delete", "a", "b"],
        ["--rename", "a"],
        ["--rename", "a", "b", "c"],
        ["--delete", "--rename", "a", "b"],
        ["--from", "v1"],
    ],
)
def test_too_many_or_too_few_names(three: Lepton, arguments: list[str]) -> None:
    error = three("branch", *arguments, "--json", code=2).error
    assert error["kind"] == "usage"
    assert error["hint"]


def test_names_that_cannot_be(three: Lepton) -> None:
    assert three("branch", "a b", "--json", code=2).error["kind"] == "invalid-name"
    assert three("branch", "feature", "--from", "v9", "--json", code=2).error["kind"] == "not-found"
    assert three("branch", "--delete", "nope", "--json", code=2).error["kind"] == "not-found"


def test_switch_decides_which_branch_is_meant(three: Lepton) -> None:
    three("branch", "feature", "--from", "v1")
    assert three("switch", "feature", "--json").json == {"current": "feature"}
    assert three("save", model(step=5), "--json").json["branch"] == "feature"
    assert three("show", "v2", "--json").json["branch"] == "feature"
    assert three("switch", "main").out == "commands mean branch main now\n"
    assert three("show", "v2", "--json").json["branch"] == "main"
    three("switch", "--create", "newer")
    assert [b["name"] for b in three("branch", "--json").json if b["current"]] == ["newer"]
    assert three("switch", "nope", "--json", code=2).error["hint"] == "lepton branch lists them"


def test_merge_moves_forward(three: Lepton) -> None:
    three("branch", "feature")
    three("save", model(step=5), "-b", "feature")
    told = three("merge", "feature", "--json").json
    assert (told["name"], told["branch"]) == ("v4", "feature")
    assert three("show", "main", "--json").json["name"] == "v4"
    assert three("merge", "feature").out == "main has everything of feature already\n"
    assert three("merge", "feature", "--json").json is None


def test_merge_into_another_branch(three: Lepton) -> None:
    three("branch", "release", "--from", "v1")
    done = three("merge", "main", "--into", "release", "-m", "2.0")
    assert done.out.startswith("merged main into release, which stands on main@v3  ")
    assert three("show", "release", "--json").json["name"] == "v3"


def test_merge_of_branches_that_went_different_ways(three: Lepton) -> None:
    three("branch", "feature", "--from", "v2")
    three("save", model(step=5), "-b", "feature")
    error = three("merge", "feature", "--json", code=1).error
    assert error["kind"] == "diverged"
    assert three("merge", "nope", "--json", code=2).error["kind"] == "not-found"


def test_merge_of_weights(three: Lepton) -> None:
    three("branch", "feature", "--from", "v2")
    three("save", model(step=5), "-b", "feature")
    done = three("merge", "feature", "--method", "linear")
    assert done.out.startswith("merged feature into main, which stands on main@v4  ")
    assert "1 merged by a method" in done.out
