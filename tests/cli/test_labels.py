"""tag and alias."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta

import pytest

from tests.cli.conftest import Lepton


def test_a_tag_is_set_listed_and_removed(three: Lepton) -> None:
    told = three("tag", "best", "v2", "--json").json
    assert list(told) == ["name", "version"]
    assert list(told["version"]) == ["name", "id", "branch", "revision"]
    assert three("tag", "newest", "main").out == "tag newest is main@v3\n"
    assert [tag["version"]["name"] for tag in three("tag", "--json").json] == ["v2", "v3"]
    assert re.fullmatch(r"best +v2 +main +[0-9a-f]{12}", three("tag").out.splitlines()[1])
    assert three("tag", "best", "--json").json == told
    assert three("tag", "best").out.startswith("tag best is main@v2 (")
    assert three("tag", "--delete", "best", "--json").json == {"deleted": "best"}
    assert three("tag", "--delete", "newest").out == "removed tag newest\n"
    assert three("tag", "--json").json == []
    assert three("tag").err == "lepton: there is no tag; lepton tag NAME VERSION makes one\n"


def test_a_tag_never_moves(three: Lepton) -> None:
    three("tag", "best", "v2")
    assert three("tag", "best", "v3", "--json", code=2).error["kind"] == "already-exists"
    three("update", "v2", "-m", "again")
    assert three("tag", "best", "--json").json["version"]["id"] == three("show", "v2~1", "--json").json["id"]


@pytest.mark.parametrize("kind", ["tag", "alias"])
def test_labels_that_cannot_be(three: Lepton, kind: str) -> None:
    assert three(kind, "a b", "v1", "--json", code=2).error["kind"] == "invalid-name"
    assert three(kind, "best", "v9", "--json", code=2).error["kind"] == "not-found"
    assert three(kind, "best", "--json", code=2).error["hint"] == f"lepton {kind} best VERSION makes it"
    assert three(kind, "--delete", "best", "--json", code=2).error["kind"] == "not-found"
    assert three(kind, "--delete", "--json", code=2).error["message"] == f"no {kind} is named"
    assert three(kind, "best", "v1", "--delete", "--json", code=2).error["kind"] == "usage"


def test_an_alias_moves_and_remembers(three: Lepton) -> None:
    before = datetime.now(UTC)
    time.sleep(0.01)
    three("alias", "production", "v1", "-m", "first")
    between = datetime.now(UTC)
    time.sleep(0.01)
    assert three("alias", "production", "v2").out == "alias production is main@v2 now\n"
    assert three("alias", "production", "--json").json["version"]["name"] == "v2"
    past = three("alias", "production", "--history", "--json").json
    assert [list(move) for move in past] == [["since", "by", "why", "version"]] * 2
    assert [(move["version"]["name"], move["why"]) for move in past] == [("v2", ""), ("v1", "first")]
    then = three("alias", "production", "--at", between.isoformat(), "--json").json
    assert (then["name"], then["version"]["name"], then["by"], then["why"]) == (
        "production", "v1", "Anna", "first",
    )  # fmt: skip
    said = three("alias", "production", "--at", between.isoformat()).out
    assert re.fullmatch(r"production was main@v1 \([0-9a-f]{12}\), set \S+ \S+ by Anna: first\n", said)
    error = three("alias", "production", "--at", before.isoformat(), "--json", code=2).error
    assert error["kind"] == "not-found"
    assert "meant nothing at" in error["message"]


def test_an_alias_that_was_removed_still_has_its_history(three: Lepton) -> None:
    three("alias", "production", "v1")
    three("alias", "--delete", "production")
    assert three("alias", "--json").json == []
    past = three("alias", "production", "--history", "--json").json
    assert [move["version"] and move["version"]["name"] for move in past] == [None, "v1"]
    assert "(removed)" in three("alias", "production", "--history").out
    now = datetime.now(UTC).isoformat()
    assert three("alias", "production", "--at", now, "--json", code=2).error["kind"] == "not-found"


def test_questions_to_the_past_that_make_no_sense(three: Lepton) -> None:
    three("alias", "production", "v1")
    for arguments in (["--history"], ["--at", "2026-05-03"], ["production", "v2", "--history"],
                      ["production", "--delete", "--history"], ["production", "--at", "noon"]):  # fmt: skip
        assert three("alias", *arguments, "--json", code=2).error["kind"] == "usage"
    assert three("alias", "prod", "--history", "--json", code=2).error["message"] == (
        "there never was an alias 'prod'"
    )


def test_local_time_is_meant(three: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    three("alias", "production", "v1")
    monkeypatch.setenv("TZ", "XXX-05:00")
    time.tzset()
    try:
        soon = datetime.now(UTC) + timedelta(hours=5, minutes=1)  # the wall clock five hours east
        assert three("alias", "production", "--at", f"{soon:%Y-%m-%dT%H:%M}", "--json").json["version"]
        ago = f"{soon - timedelta(hours=1):%Y-%m-%dT%H:%M}"
        three("alias", "production", "--at", ago, code=2)
    finally:
        monkeypatch.setenv("TZ", "UTC")
        time.tzset()


@pytest.mark.parametrize(("kind", "now"), [("tag", ""), ("alias", " now")])
def test_an_older_revision_is_called_so(three: Lepton, kind: str, now: str) -> None:
    three("update", "v1", "-m", "again")
    assert three(kind, "old", "v1~1").out == f"{kind} old is main@v1~1{now}\n"
    assert three(kind, "new", "v1").out == f"{kind} new is main@v1{now}\n"
    assert [each["version"]["revision"] for each in three(kind, "--json").json] == [2, 1]
    assert three(kind, "old").out.startswith(f"{kind} old is main@v1~1 (")
    assert re.search(r"^old +v1~1 +main", three(kind).out, re.MULTILINE)
    three("update", "v1", "-m", "and again")
    assert three(kind, "new").out.startswith(f"{kind} new is main@v1~2 (")


def test_the_past_of_an_alias_names_revisions(three: Lepton) -> None:
    three("alias", "production", "v1")
    three("update", "v1", "-m", "again")
    three("alias", "production", "v1")
    said = three("alias", "production", "--history").out
    assert re.findall(r"main@v1\S*", said) == ["main@v1", "main@v1~1"]
    past = three("alias", "production", "--history", "--json").json
    assert [move["version"]["revision"] for move in past] == [2, 1]
    now = datetime.now(UTC).isoformat()
    assert three("alias", "production", "--at", now).out.startswith("production was main@v1 (")


def test_one_name_is_not_given_to_two_things(three: Lepton) -> None:
    three("branch", "dev", "--from", "v1")
    for kind in ("tag", "alias"):
        error = three(kind, "dev", "v2", "--json", code=2).error
        assert error["message"] == "there is a branch 'dev' already; one name must not mean two things"
        error = three(kind, "v2", "v1", "--json", code=2).error
        assert error["hint"] == "choose another name, for example r-v2"
    three("tag", "gold", "v1")
    assert three("branch", "gold", "--json", code=2).error["kind"] == "already-exists"
    assert three("branch", "--rename", "dev", "gold", "--json", code=2).error["kind"] == "already-exists"
