"""stats: the table and the document."""

from __future__ import annotations

import pytest

from tests.cli.conftest import Lepton


def test_the_document(three: Lepton) -> None:
    told = three("stats", "--json").json
    assert list(told)[:4] == ["raw_bytes", "stored_bytes", "ratio", "versions"]
    assert told["raw_bytes"] == sum(version["raw_bytes"] for version in told["versions"])
    assert told["ratio"] == pytest.approx(told["raw_bytes"] / told["stored_bytes"])
    assert sum(told["parts"].values()) == told["stored_bytes"]
    assert told["unreadable"] == 0
    assert list(told["versions"][0])[:3] == ["name", "id", "branch"]
    for one in (told, *told["versions"]):
        assert set(one["chain"]) == {"mean", "longest"}
        assert set(one["codecs"][0]) == {"codec", "objects", "raw_bytes", "stored_bytes"}
    for version in told["versions"]:
        assert version["unique_bytes"] + version["shared_bytes"] == version["stored_bytes"]
        assert sum(use["stored_bytes"] for use in version["codecs"]) == version["stored_bytes"]
        assert version["ratio"] == pytest.approx(version["raw_bytes"] / version["stored_bytes"])


def test_the_tables(three: Lepton) -> None:
    lines = three("stats").out.splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == ["As saved", "As stored", "Ratio", "Chain"]
    assert " in 3 versions" in lines[0]
    parts = "\n".join(lines).split("\n\n")
    columns = [
        "Version",
        "Branch",
        "Size",
        "Stored",
        "Ratio",
        "Unique",
        "Shared",
        "Chain",
        "Longest",
        "Codecs",
    ]
    assert parts[1].splitlines()[0].split() == columns
    assert [line.split()[0] for line in parts[1].splitlines()[1:]] == ["v1", "v2", "v3"]
    assert parts[2].splitlines()[0].split() == ["Codec", "Objects", "Size", "Stored", "Ratio"]
    assert parts[3].splitlines()[0].split() == ["Where", "it", "is", "Stored", "Share"]
    assert parts[3].splitlines()[-1].startswith("other  ")
    assert "█" not in "\n".join(lines)


def test_some_versions_only(three: Lepton) -> None:
    whole = three("stats", "--json").json
    told = three("stats", "--limit", "2", "--json").json
    assert [version["name"] for version in told["versions"]] == ["v2", "v3"]
    assert told["raw_bytes"] == whole["raw_bytes"]
    assert three("stats", "--limit", "0", "--json", code=2).error["kind"] == "usage"
    (one,) = three("stats", "v2", "--json").json["versions"]
    assert one == whole["versions"][1]
    said = three("stats", "main@v2").out
    assert said.startswith("Version:    v2\nBranch:     main\nAs saved:   ")
    assert "what deleting it alone would free\n" in said
    assert three("stats", "v9", "--json", code=2).error["kind"] == "not-found"
    assert three("stats", "-b", "main", "--json", code=2).error["kind"] == "usage"


def test_deleted_versions_are_told_as_one_part(three: Lepton) -> None:
    assert three("stats", "--json").json["parts"]["deleted"] == 0
    three("delete", "v3")
    told = three("stats", "--json").json
    assert [version["name"] for version in told["versions"]] == ["v1", "v2"]
    assert told["parts"]["deleted"] > 0
    assert "\nneeded by deleted versions  " in three("stats").out
    assert three("stats", "v3", "--json", code=2).error["kind"] == "not-found"


def test_nothing_yet(lepton: Lepton) -> None:
    lepton("init")
    assert lepton("stats", "--json").json["versions"] == []
    said = lepton("stats").out
    assert " in 0 versions\n" in said
    assert "Codec " not in said
