"""versions, show and log."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from lepton_ai.history import provenance
from tests.cli.conftest import Lepton, model

DESIGNED = [
    "name", "id", "branch", "status", "created_at", "updated_at", "author", "metrics", "raw_bytes", "stored_bytes",
]  # fmt: skip
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def test_versions_for_people(three: Lepton) -> None:
    title, *lines = three("versions").out.splitlines()
    assert re.split(r"  +", title) == [
        "Version", "Status", "Branch", "Created At", "Updated At", "Author", "Size", "Stored", "Id", "Metrics",
    ]  # fmt: skip
    assert [line.split()[0] for line in lines] == ["v1", "v2", "v3"]
    row = rf"v2 +Active +main +{TIME} +{TIME} +Anna +8\.\d KiB +\d+ B +[0-9a-f]{{12}} +accuracy=0\.91"
    assert re.fullmatch(row, lines[1])


def test_versions_for_machines(three: Lepton) -> None:
    found = three("versions", "--json").json
    assert [list(version)[:10] for version in found] == [DESIGNED] * 3
    assert found[1]["metrics"] == {"accuracy": 0.91}
    assert found[0]["created_at"].endswith("Z")
    older, old, newest = (version["stored_bytes"] for version in found)
    assert newest > max(older, old) >= min(older, old) > 0, "only the newest is kept in full"


@pytest.mark.parametrize("name", ["list-versions", "list_versions"])
def test_other_spellings(three: Lepton, name: str) -> None:
    assert three(name, "--json").json == three("versions", "--json").json


def test_a_branch_a_limit_and_deleted_ones(three: Lepton) -> None:
    three("branch", "feature", "--from", "v1")
    three("save", "model.safetensors", "-b", "feature")
    assert [v["name"] for v in three("versions", "-b", "feature", "--json").json] == ["v1", "v2"]
    assert [v["name"] for v in three("versions", "-b", "main", "--limit", "2", "--json").json] == ["v2", "v3"]
    for limit in ("0", "-3"):
        error = three("versions", "--limit", limit, "--json", code=2).error
        assert error["message"] == f"--limit {limit} shows nothing"
    three("delete", "v3")
    assert [v["name"] for v in three("versions", "-b", "main", "--json").json] == ["v1", "v2"]
    with_deleted = three("versions", "-b", "main", "--deleted", "--json").json
    assert [(v["name"], v["status"]) for v in with_deleted][-1] == ("v3", "Deleted")
    assert three("versions", "-b", "nope", "--json", code=2).error["kind"] == "not-found"


def test_no_versions_yet(lepton: Lepton) -> None:
    lepton("init")
    done = lepton("versions")
    assert done.out == ""
    assert done.err == "lepton: there are no versions yet; lepton save FILE makes one\n"
    assert lepton("versions", "--json").json == []
    assert lepton("log", "--graph").err.startswith("lepton: there are no versions yet")


def test_what_others_wrote_does_not_command_the_terminal(lepton: Lepton) -> None:
    lepton("save", model(), "--author", "evil\x1b[2J\nname", "-m", "two\nlines\x07")
    out = lepton("versions").out
    assert "\x1b" not in out
    assert "evil\\x1b[2J name" in out
    assert "\x07" not in lepton("log").out + lepton("show", "v1").out + lepton("log", "--graph").out
    assert lepton("show", "v1", "--json").json["author"] == "evil\x1b[2J\nname"


def test_columns_stand_below_each_other_in_any_script(lepton: Lepton) -> None:
    lepton("save", model(), "--author", "王小明")
    lepton("save", model(), "--author", "Ana\u0301")
    title, chinese, accent = lepton("versions").out.splitlines()
    column = title.index("Size") + len("Size")
    assert len(chinese.partition(" KiB")[0]) + 3 == len(accent.partition(" KiB")[0]) - 1 == column - 4


def test_show_for_people(three: Lepton) -> None:
    three("tag", "best", "v2")
    three("alias", "production", "v2")
    out = three("show", "v2").out
    for line in ("Version: +main@v2", "Status: +Active", "Revision: +1 of 1", "Author: +Anna", "Tags: +best",
                 "Message: +step 1", "Aliases: +production", "Metrics: +accuracy=0.91", "Params: +step=1"):  # fmt: skip
        assert re.search(f"^{line}$", out, re.MULTILINE), line
    assert re.search(r"^  [0-9a-f]{12} +8\.\d KiB  model\.safetensors$", out, re.MULTILINE)
    assert "Dataset" not in out


def test_show_for_machines(three: Lepton) -> None:
    shown = three("show", "v2", "--json").json
    assert list(shown) == [
        *DESIGNED, "message", "revision", "content_id", "operation", "parents", "revisions", "tags", "aliases",
        "params", "dataset", "history", "code", "environment", "files", "merge",
        "notes",
    ]  # fmt: skip
    assert shown["operation"] == {"kind": "save"}
    assert shown["parents"] == [three("show", "v1", "--json").json["id"]]
    assert shown["files"][0]["path"] == "model.safetensors"
    assert len(shown["files"][0]["sha256"]) == 64


def test_show_tells_code_and_environment(lepton: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_AI_NO_PROVENANCE")
    git = ["git", "-c", "user.name=Anna", "-c", "user.email=a@example.org"]
    Path("train.py").write_text("one\n")
    for command in (["init", "-q"], ["add", "train.py"], ["commit", "-qm", "first"]):
        subprocess.run([*git, *command], check=True)
    Path("train.py").write_text("two\n")
    lepton("save", model())
    code = lepton("show", "v1", "--json").json["code"]
    assert code["dirty"] is True
    assert code["patch_bytes"] > 0
    patch = lepton("show", "v1", "--patch").out
    assert "-one\n+two\n" in patch
    assert re.search(
        r"^Code: .*, with uncommitted changes \(\d+ B\)$", lepton("show", "v1").out, re.MULTILINE
    )
    packages = lepton("show", "v1", "--packages", "--json").json["packages"]
    assert "numpy" in packages
    assert "Packages:\n" in lepton("show", "v1", "--packages").out


def test_show_without_a_patch(three: Lepton) -> None:
    assert three("show", "v1", "--patch", "--json", code=2).error["message"] == "version 'v1' has no patch"


def test_show_works_for_deleted_and_freed_versions(three: Lepton) -> None:
    three("delete", "v3", "-m", "bad data")
    assert three("show", "v3", "--json").json["status"] == "Deleted"
    three("gc", "--grace", "0")
    assert three("show", "v3", "--json").json["status"] == "Purged"
    assert "Status:" in three("show", "v3").out


def test_show_tells_what_was_freed_with_a_version(lepton: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEPTON_AI_NO_PROVENANCE")
    Path("curve.json").write_text('{"loss": [1.0, 0.5]}')
    monkeypatch.setattr(provenance, "packages", lambda: b'{"theirs":"1.0"}')
    lepton("save", model(), "--history", "curve.json")
    assert lepton("show", "v1", "--packages", "--json").json["notes"] == []
    monkeypatch.setattr(provenance, "packages", lambda: b'{"ours":"2.0"}')
    Path("other.bin").write_bytes(b"nothing that a model has")
    lepton("save", "other.bin")
    lepton("delete", "v1")
    lepton("gc", "--grace", "0")
    told = lepton("show", "v1", "--packages", "--json").json
    assert (told["history"], told["packages"]) == ({}, {})
    assert told["environment"]["python"].startswith("CPython")
    assert [re.sub(r"[\d-]{10}", "DATE", text) for text in told["notes"]] == [
        "gc freed the training history of version 'v1' on DATE (only a backup still has it)",
        "gc freed the packages of version 'v1' on DATE (only a backup still has it)",
    ]
    ran = lepton("show", "v1", "--packages")
    assert "lepton: gc freed the packages of version 'v1'" in ran.err
    assert lepton("show", "v2", "--packages", "--json").json["packages"] == {"ours": "2.0"}


def test_show_tells_the_rest_of_a_damaged_version(lepton: Lepton, here: Path) -> None:
    Path("curve.json").write_text('{"loss": [1.0, 0.5]}')
    lepton("save", model(), "--history", "curve.json")
    for pack in (here / ".lepton/packs").rglob("*.pack"):
        pack.unlink()
    told = lepton("show", "v1", "--json", code=5).json
    assert told["files"][0]["path"] == "model.safetensors"
    assert told["notes"][0].startswith("the training history of version 'v1' cannot be read: ")
    assert "lepton: the training history" in lepton("show", "v1", code=5).err


@pytest.mark.parametrize(
    ("address", "kind", "says"),
    [
        ("v9", "not-found", "there is no version 'v9' on branch 'main'"),
        ("nope@v1", "not-found", "there is no branch 'nope'"),
        ("v1~7", "not-found", "'v1' has 1 revision, not 7"),
        ("v1~x", "invalid-name", "'v1~x' is not the address of a version"),
        ("v1~0", "invalid-name", "'v1~0' is not the address of a version"),
        ("@v1", "invalid-name", "'@v1' is not the address of a version"),
        ("", "invalid-name", "'' is not the address of a version"),
    ],
)
def test_addresses_that_mean_nothing(three: Lepton, address: str, kind: str, says: str) -> None:
    error = three("show", address, "--json", code=2).error
    assert error["kind"] == kind
    assert error["message"].startswith(says)


def test_addresses_of_every_kind(three: Lepton) -> None:
    three("tag", "best", "v2")
    three("alias", "production", "v2")
    id_ = three("show", "v2", "--json").json["id"]
    for address in ("main@v2", "v2~1", "best", "production", id_[:10]):
        assert three("show", address, "--json").json["id"] == id_
    assert three("show", "main", "--json").json["name"] == "v3"
    three("branch", "feature", "--from", "v1")
    assert three("show", "v1", "-b", "feature", "--json").json["name"] == "v1"


def test_log_for_people(three: Lepton) -> None:
    three("rollback", "v1", "-m", "drifts")
    three("alias", "production", "v1")
    three("alias", "production", "v2", "-m", "better")
    title, first, second, third, *rest = three("log").out.splitlines()
    assert re.split(r"  +", title) == ["At", "By", "Act", "What", "Version", "Id", "Message"]
    assert re.fullmatch(rf"{TIME}  Anna  set alias +alias production  v1 → v2  [0-9a-f]{{12}}  better", first)
    assert re.fullmatch(rf"{TIME}  Anna  set alias +alias production  v1 +[0-9a-f]{{12}}", second)
    assert re.fullmatch(rf"{TIME}  Anna  rollback +branch main +v4 +[0-9a-f]{{12}}  drifts", third)
    assert rest[-1].split()[2:5] == ["Anna", "create", "repository"]
    assert len(rest) == 4


def test_log_for_machines(three: Lepton) -> None:
    newest = three("log", "--limit", "1", "--json").json[0]
    assert list(newest) == [
        "ref", "at", "actor", "act", "why", "before", "after", "before_name", "id", "name", "branch", "author",
        "message", "operation",
    ]  # fmt: skip
    version = three("show", "v3", "--json").json
    assert (newest["ref"], newest["act"], newest["operation"]) == ("branch/main", "save", "save")
    assert (newest["id"], newest["name"], newest["message"]) == (version["id"], "v3", "step 2")
    assert (newest["before"], newest["before_name"]) == (version["parents"][0], "v2")


def test_log_tells_a_deletion_and_a_restoration(three: Lepton) -> None:
    three("delete", "v3", "-m", "bad data")
    three("restore", "v3")
    moves = [(m["act"], m["ref"].split("/")[0], m["name"]) for m in three("log", "--json").json]
    assert moves[0] == ("restore", "version", "v3")
    assert set(moves[1:3]) == {("delete", "branch", "v2"), ("delete", "version", "v3")}


def test_log_of_one_thing(three: Lepton) -> None:
    three("branch", "main-2", "--from", "v1")
    three("alias", "prod", "v1")
    three("alias", "production", "v2")
    three("tag", "best", "v1")
    three("update", "v1", "-m", "again")

    def refs(*arguments: str) -> list[tuple[str, str]]:
        return [
            (move["ref"].partition("/")[2], move["act"]) for move in three("log", *arguments, "--json").json
        ]

    assert refs("prod") == [("prod", "set alias")]
    assert refs("best") == [("best", "set tag")]
    assert {name for name, _ in refs("main")} == {"main"}
    assert refs("-b", "main-2") == [("main-2", "update"), ("main-2", "create branch")]
    assert [act for _, act in refs("v1")] == ["update", "save"]
    assert len(refs("--limit", "2")) == 2
    assert three("log", "nope", "--json", code=2).error["message"] == (
        "no branch, tag, alias or version is called 'nope'"
    )
    assert three("log", "-b", "nope", "--json", code=2).error["kind"] == "not-found"
    assert three("log", "--limit", "0", "--json", code=2).error["kind"] == "usage"


def test_a_limit_finds_as_many_moves_as_there_are(three: Lepton) -> None:
    for _ in range(6):
        three("delete", "v3")
        three("restore", "v3")
    everything = three("log", "--json").json
    for limit in (1, 2, 5, 9, 15, 100):
        assert three("log", "--limit", str(limit), "--json").json == everything[:limit]


def test_versions_that_fit_in_an_order(three: Lepton) -> None:
    three("update", "v1", "--metric", "accuracy=0.7", "--metric", "loss=1")
    three("tag", "gold", "v1")

    def names(*words: str) -> list[str]:
        return [version["name"] for version in three("versions", *words, "--json").json]

    assert names("--where", "metrics.accuracy > 0.8") == ["v2", "v3"]
    assert names("--where", "metrics.accuracy < 0.8 AND tag = 'gold'") == ["v1"]
    assert names("--order-by", "metrics.accuracy") == ["v1", "v2", "v3"]
    assert names("--order-by", "metrics.accuracy DESC", "--limit", "2") == ["v3", "v2"]
    assert names("--where", "metrics.loss IS NULL") == ["v2", "v3"]
    assert names("--where", "metrics.loss IS NULL", "--limit", "1") == ["v3"]
    assert three("versions", "--where", "name = 'x'").err == "lepton: no version fits\n"
    error = three("versions", "--where", "nme = 'x'", "--json", code=2).error
    assert error["kind"] == "usage"
    assert error["message"].startswith("filter, column 1: a field (name, branch,")
