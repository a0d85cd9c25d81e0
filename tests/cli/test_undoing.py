"""rollback, delete, restore, gc and verify."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import Lepton, model


def test_rollback_makes_a_new_version(three: Lepton) -> None:
    told = three("rollback", "v1", "-m", "v3 drifts", "--json").json
    assert (told["name"], told["message"]) == ("v4", "v3 drifts")
    assert (told["new_bytes"], told["notes"]) == (0, [])
    first, fourth = (three("show", name, "--json").json for name in ("v1", "v4"))
    assert first["content_id"] == fourth["content_id"]
    assert fourth["operation"] == {"kind": "rollback", "source": first["id"]}
    assert three("rollback", "v2").out.startswith("rolled back to v2: main@v5  ")


def test_rollback_on_another_branch(three: Lepton) -> None:
    three("branch", "release")
    assert three("rollback", "main@v1", "-b", "release", "--json").json["branch"] == "release"
    assert three("rollback", "v9", "--json", code=2).error["kind"] == "not-found"
    assert three("rollback", "v1", "-b", "nope", "--json", code=2).error["kind"] == "not-found"


def test_delete_and_restore(three: Lepton) -> None:
    told = three("delete", "v3", "-m", "bad data", "--json").json
    assert (told["name"], told["status"]) == ("v3", "Deleted")
    assert three("show", "main", "--json").json["name"] == "v2"
    error = three("checkout", "v3", "-o", "out", "--json", code=2).error
    assert error["message"].startswith("version 'v3' was deleted by Anna on ")
    assert error["message"].endswith(": bad data")
    assert error["hint"] == "lepton restore v3 brings it back"
    assert three("restore", "v3", "--json").json["status"] == "Active"
    assert three("show", "main", "--json").json["name"] == "v2"
    assert three("delete", "main@v3").out == "deleted main@v3; lepton restore main@v3 brings it back\n"
    assert three("restore", "main@v3").out == "restored main@v3\n"


def test_restore_of_what_is_there_or_was_never(three: Lepton) -> None:
    assert three("restore", "v1", "--json", code=2).error["kind"] == "already-exists"
    assert three("restore", "v9", "--json", code=2).error["kind"] == "not-found"
    assert three("restore", "--branch", "main", "--json", code=2).error["kind"] == "already-exists"
    assert three("restore", "--branch", "nope", "--json", code=2).error["kind"] == "not-found"
    assert three("restore", "--json", code=2).error["message"] == "nothing is named to restore"


def test_restore_of_a_version_on_a_named_branch(three: Lepton) -> None:
    three("branch", "feature", "--from", "v1")
    three("save", model(step=8), "-b", "feature")
    three("delete", "v2", "-b", "feature")
    assert three("restore", "v2", "--branch", "feature", "--json").json["branch"] == "feature"
    three("branch", "--delete", "feature")
    told = three("restore", "--branch", "feature", "--json").json
    assert (told["name"], told["head"]["name"]) == ("feature", "v1")


def test_what_is_in_use_is_not_deleted(three: Lepton) -> None:
    three("alias", "production", "v2")
    error = three("delete", "v2", "--json", code=2).error
    assert (error["kind"], error["message"]) == ("in-use", "version 'v2' is in use: alias production")


def test_one_revision_or_a_branch_is_not_deleted(three: Lepton) -> None:
    three("update", "v1", "-m", "again")
    assert three("delete", "v1~1", "--json", code=2).error["hint"] == "lepton delete v1"
    error = three("delete", "main", "--json", code=2).error
    assert error["message"] == "'main' is a branch, not a version"
    assert error["hint"] == "lepton delete main@v3, or lepton branch --delete main"
    assert [v["name"] for v in three("versions", "--json").json] == ["v1", "v2", "v3"]


def test_gc_frees_what_is_deleted_and_nothing_else(three: Lepton) -> None:
    three("delete", "v3")
    nothing = three("gc", "--dry-run", "--json").json
    assert list(nothing) == [
        "dry_run",
        "versions",
        "packs",
        "bytes",
        "rewritten",
        "waiting",
        "kept_bytes",
        "running",
    ]
    assert (nothing["dry_run"], nothing["versions"], nothing["bytes"]) == (True, [], 0)
    dry = three("gc", "--dry-run", "--grace", "0", "--json").json
    assert dry["versions"] == ["v3"]
    assert "would free " in three("gc", "--dry-run", "--grace", "0s").out
    assert "deleted versions that would be gone for good: v3" in three("gc", "--dry-run", "--grace", "0").out
    three("restore", "v3")
    three("delete", "v3")
    done = three("gc", "--grace", "0").out
    assert done.startswith("freed ")
    assert "deleted versions that are gone for good: v3" in done
    error = three("restore", "v3", "--json", code=2).error
    assert error["hint"] == "only a backup still has it"
    assert three("verify", "--json").json["clean"] is True
    three("checkout", "v2", "-o", "out")


@pytest.mark.parametrize("grace", ["soon", "", "-1d", "14 d", "1y"])
def test_durations_that_are_none(three: Lepton, grace: str) -> None:
    assert three("gc", f"--grace={grace}", "--json", code=2).error["hint"] == (
        "write for example 14d, 12h, 30m or 90s"
    )


def test_verify_says_that_all_is_well(three: Lepton) -> None:
    told = three("verify", "--json").json
    assert list(told) == ["clean", "fast", "versions", "packs", "bytes", "damages"]
    assert (told["clean"], told["versions"], told["damages"]) == (True, 3, [])
    assert three("verify").out.startswith("clean: every byte of 3 revisions, 4 packs, ")
    assert three("verify", "--fast").out.startswith("clean: structure of 3 revisions, ")
    assert three("verify", "--fast", "--json").json["fast"] is True


def test_verify_names_what_a_damage_touches(three: Lepton, here: Path) -> None:
    packs = sorted((here / ".lepton/packs").rglob("*"), key=lambda pack: pack.stat().st_size)
    largest = packs[-1]
    data = bytearray(largest.read_bytes())
    data[len(data) // 3] ^= 0xFF
    largest.chmod(0o600)
    largest.write_bytes(data)
    told = three("verify", "--json", code=5).json
    assert told["clean"] is False
    damage = told["damages"][0]
    assert list(damage) == ["where", "problem", "touches"]
    assert damage["where"].startswith("pack ")
    touches = [touched for damage in told["damages"] for touched in damage["touches"]]
    assert {"version": "main@v1", "file": "model.safetensors", "tensor": "layer.weight"} in touches
    said = three("verify", code=5).out
    assert said.startswith("damaged: pack ")
    assert "  touches main@v1  model.safetensors  layer.weight\n" in said
    assert "everything else can be read" in said
    assert said.splitlines()[-1].startswith("to repair it, save the same files once more")
    error = three("checkout", "v1", "-o", "out", "--json", code=5).error
    assert error["kind"] == "damaged"
    three("save", model(step=0))
    three("save", model(step=1))
    three("save", model(step=2))
    three("checkout", "v1", "-o", "out")
    said = three("verify", code=5).out
    assert "(nothing is lost: other packs have it too)" in said
    assert said.splitlines()[-1].startswith("no version is touched; lepton gc")
    three("gc", "--grace", "0")
    assert three("verify", "--json").json["clean"] is True
