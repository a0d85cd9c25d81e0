"""keys: what opens a repository."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Lepton, model


@pytest.fixture
def sealed(lepton: Lepton) -> Lepton:
    """A repository with one version, and its recovery key in a file."""
    lepton("init", "--recovery-file", "digits.recovery")
    lepton("save", model())
    return lepton


def lose_the_key(here: Path) -> Path:
    (key,) = (here.parent / "home/config/lepton-ai/keys").glob("*.key")
    key.unlink()
    return key


def typed(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))


def test_the_ways_in_are_listed(sealed: Lepton) -> None:
    told = sealed("keys", "--json").json
    assert [list(each) for each in told] == [["name", "kind", "created_at", "problem"]] * 2
    assert [(each["name"], each["kind"]) for each in told] == [
        ("key-file", "key-file"),
        ("recovery", "recovery"),
    ]
    rows = sealed("keys").out.splitlines()
    assert rows[0].split() == ["Name", "Kind", "Made", "At"]
    assert len(rows) == 3


def test_a_broken_envelope_is_named_and_the_others_are_listed(sealed: Lepton, here: Path) -> None:
    broken, late = (here / f".lepton/keys/envelope-{name}.json" for name in ("key-file", "late"))
    envelope = json.loads((here / ".lepton/keys/envelope-recovery.json").read_text())
    late.write_text(json.dumps(envelope | {"created_at": 10**18}))
    whole = broken.read_bytes()
    broken.write_bytes(whole[:40])
    told = {each["name"]: each for each in sealed("keys", "--json", code=5).json}
    assert list(told) == ["key-file", "late", "recovery"]
    assert (told["recovery"]["kind"], told["recovery"]["problem"]) == ("recovery", None)
    assert (told["late"]["kind"], told["late"]["created_at"]) == ("recovery", None)
    assert (told["key-file"]["kind"], told["key-file"]["created_at"]) == (None, None)
    assert "envelope-key-file.json is damaged" in told["key-file"]["problem"]
    ran = sealed("keys", code=5)
    assert [row.split()[0] for row in ran.out.splitlines()] == ["Name", "late", "recovery"]
    assert ran.err.startswith("lepton: key-file opens nothing: ")
    assert "from a backup, or lepton keys remove key-file" in ran.err
    broken.write_text('{"format": 99}')
    assert "upgrade lepton-ai" in sealed("keys", code=5).err
    broken.write_bytes(whole)
    assert sealed("keys").err == ""


def test_the_last_way_in_that_can_be_read_stays(sealed: Lepton, here: Path) -> None:
    (here / ".lepton/keys/envelope-recovery.json").write_text("{")
    assert sealed("keys", "remove", "key-file", "--json", code=2).error["kind"] == "in-use"
    assert sealed("keys", "remove", "recovery").out == "removed recovery\n"
    sealed("checkout", "v1", "-o", "out")
    assert [each["name"] for each in sealed("keys", "--json").json] == ["key-file"]


def test_without_the_key_nothing_opens(sealed: Lepton, here: Path) -> None:
    lose_the_key(here)
    error = sealed("checkout", "v1", "-o", "out", "--json", code=3).error
    assert error["kind"] == "key-missing"
    assert not error["message"].endswith(".")
    assert sealed("versions", "--json").json[0]["name"] == "v1"
    assert len(sealed("keys", "--json").json) == 2


def test_the_recovery_key_makes_a_key_file_again(sealed: Lepton, here: Path) -> None:
    key = lose_the_key(here)
    told = sealed("keys", "recover", "--recovery-file", "digits.recovery", "--json").json
    assert list(told) == ["name", "kind", "file"]
    assert told["file"] == str(key)
    sealed("checkout", "v1", "-o", "out")
    assert len(sealed("keys", "--json").json) == 3


def test_a_typed_recovery_key(sealed: Lepton, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lose_the_key(here)
    (key,) = re.findall(r"key: (\S+)", Path("digits.recovery").read_text())
    typed(monkeypatch, key.lower().replace("-", " ") + "\n")
    sealed("keys", "recover", "--recovery-file", "-")
    sealed("checkout", "v1", "-o", "out")
    typed(monkeypatch, "WRONG\n")
    assert sealed("keys", "recover", "--recovery-file", "-", "--json", code=3).error["kind"] == "key-missing"


def test_a_passphrase_opens_it_elsewhere(sealed: Lepton, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, "correct horse battery\n")
    told = sealed("keys", "add-passphrase", "--passphrase-stdin", "--json").json
    assert told == {"name": "passphrase", "kind": "passphrase"}
    lose_the_key(here)
    typed(monkeypatch, "wrong\n")
    assert sealed("keys", "recover", "--passphrase-stdin", "--json", code=3).error["kind"] == "key-missing"
    typed(monkeypatch, "correct horse battery\n")
    sealed("keys", "recover", "--passphrase-stdin")
    sealed("checkout", "v1", "-o", "out")


def test_a_passphrase_is_asked_for_on_a_terminal_only(
    sealed: Lepton, monkeypatch: pytest.MonkeyPatch
) -> None:
    typed(monkeypatch, "")
    assert sealed("keys", "add-passphrase", "--json", code=2).error["hint"] == "use --passphrase-stdin"
    assert sealed("keys", "add-passphrase", "--passphrase-stdin", "--json", code=2).error["message"] == (
        "the passphrase is empty"
    )
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    answers = iter(["one", "two", "one", "one"])
    monkeypatch.setattr("getpass.getpass", lambda _: next(answers))
    error = sealed("keys", "add-passphrase", "--json", code=2).error
    assert error["message"] == "the two passphrases differ"
    assert sealed("keys", "add-passphrase", "--name", "mine").out == "added passphrase mine\n"


def test_more_key_files_and_recovery_keys(
    sealed: Lepton, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sealed("keys", "add-key-file", "ci.key", "--name", "ci").out == "added key file ci: ci.key\n"
    assert sealed("keys", "add-key-file", "b.key", "--json").json["name"] == "key-file-2"
    assert sealed("keys", "add-recovery", "b.recovery", "--json").json["name"] == "recovery-2"
    assert sealed("keys", "add-key-file", "ci.key", "--json", code=2).error["kind"] == "already-exists"
    assert (
        sealed("keys", "add-key-file", "c.key", "--name", "ci", "--json", code=2).error["kind"]
        == "already-exists"
    )
    lose_the_key(here)
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(here / "ci.key"))
    sealed("checkout", "v1", "-o", "out")
    assert sealed("keys", "remove", "ci", "--json").json == {"removed": "ci"}
    assert sealed("checkout", "v1", "-o", "other", "--json", code=3).error["kind"] == "key-missing"


def test_the_last_way_in_stays(sealed: Lepton) -> None:
    assert sealed("keys", "remove", "recovery").out == "removed recovery\n"
    assert sealed("keys", "remove", "key-file", "--json", code=2).error["kind"] == "in-use"
    assert sealed("keys", "remove", "nope", "--json", code=2).error["kind"] == "not-found"


def test_rotate(sealed: Lepton, here: Path) -> None:
    assert len(sealed("keys", "rotate", "--json").json["sealing_key"]) == 16
    sealed("save", model(step=1))
    assert sealed("keys", "rotate").out.startswith("new models are sealed with key ")
    for version in ("v1", "v2"):
        sealed("checkout", version, "-o", version)
    assert sealed("verify", "--json").json["clean"] is True


def test_recover_needs_exactly_one_way(sealed: Lepton) -> None:
    for arguments in ([], ["--passphrase", "--recovery-file", "digits.recovery"]):
        assert sealed("keys", "recover", *arguments, "--json", code=2).error["kind"] == "usage"
    assert sealed("keys", "recover", "--recovery-file", "nope", "--json", code=2).error["kind"] == "not-found"


def test_a_repository_without_encryption_has_no_keys(lepton: Lepton, here: Path) -> None:
    lepton("init", "--no-encrypt")
    assert lepton("keys", "--json").json == []
    assert lepton("keys").err == "lepton: this repository is not encrypted: it has no keys\n"
    for arguments in (["rotate"], ["add-key-file", "x.key"], ["add-recovery", "x"], ["remove", "key-file"]):
        assert lepton("keys", *arguments, "--json", code=2).error["kind"] == "unsupported"
    assert not (here / "x.key").exists()
