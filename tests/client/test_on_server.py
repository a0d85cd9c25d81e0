"""What the command line does at a server: its repositories, one's own password and tokens."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_ai import ModelRepository
from lepton_ai.cli.app import run
from lepton_ai.client import credentials, login
from lepton_ai.client.connection import Connection
from lepton_ai.errors import Forbidden
from tests.client.conftest import PASSWORD, Server
from tests.client.places import save, weights

Lepton = Callable[..., Any]
NEW = "another horse battery"


@pytest.fixture
def lepton(
    running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Lepton:
    """Run a command as ana; what it said on stdout, or of an error on stderr."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("LEPTON_AI_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    login.by_password(running.address, "ana", PASSWORD)

    def command(*arguments: str | Path, code: int = 0, stdin: str = "") -> Any:
        monkeypatch.setattr("sys.stdin", io.StringIO(stdin))
        capsys.readouterr()
        got = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert got == code, out + err
        assert "Traceback" not in err
        if code:
            assert err.count("\n") == 1
            return err
        return json.loads(out) if "--json" in arguments else out + err

    return command


def test_the_repositories_of_a_server(lepton: Lepton, running: Server, tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "one", author="ana") as repo:
        save(repo, tmp_path / "in", weights())
        for name in ("first", "second", "third"):
            repo.add_remote(name, f"{running.address}/listed/{name}")
        for name in ("first", "second"):
            repo.push(name)
        repo.push("third", keep_key=True)
    found = lepton("remote", "repositories", "--owner", "listed", "--json")
    assert [one["url"] for one in found] == [
        f"{running.address}/listed/{name}" for name in ("first", "second", "third")
    ]
    assert [one["readable"] for one in found] == [True, True, False]
    assert (
        len(lepton("remote", "repositories", running.address, "--owner", "listed", "--limit", 2, "--json"))
        == 2
    )
    shown = lepton("remote", "repositories", "--owner", "listed")
    assert ["listed/third", "yes", "clients"] in [line.split()[:3] for line in shown.splitlines()]
    assert "no repositories yet" in lepton("remote", "repositories", "--owner", "nobody")
    assert "gives" not in lepton("remote", "repositories", "--limit", 0, code=2)


def test_what_was_removed_comes_back_with_everything(lepton: Lepton, running: Server, tmp_path: Path) -> None:
    url = f"{running.address}/removed/digits"
    with ModelRepository(tmp_path / "one", author="ana") as repo:
        save(repo, tmp_path / "in", weights(), message="first")
        repo.add_remote("origin", url)
        repo.push()
        here = Connection(running.address, _token(running))
        here.call("DELETE", "/repositories/removed/digits")
        assert "removed/digits" in lepton("--repo", url, "versions", code=2)
        assert lepton("remote", "repositories", "--removed", "--json")[0]["url"] == url
        assert "removed/digits" in lepton("remote", "repositories", "--removed")
        assert lepton("remote", "restore", url, "--json")["name"] == "digits"
        assert [one["name"] for one in lepton("--repo", url, "versions", "--json")] == ["v1"]
        assert "was removed there" in lepton("remote", "restore", url, code=2)
        save(repo, tmp_path / "in", weights(4))
        assert repo.push().versions == ("v2",)
        here.close()
    with ModelRepository.clone(url, tmp_path / "copy") as copy:
        assert copy.verify().clean


def test_a_name_that_was_taken_again_is_not_taken_back(
    lepton: Lepton, running: Server, tmp_path: Path
) -> None:
    here = Connection(running.address, _token(running))
    for _ in range(2):
        here.send("POST", "/repositories", b'{"owner": "twice", "name": "x"}', "application/json")
        here.call("DELETE", "/repositories/twice/x")
    assert len(lepton("remote", "repositories", "--removed", "--owner", "twice", "--json")) == 2
    lepton("remote", "restore", f"{running.address}/twice/x")
    assert "already" in lepton("remote", "restore", f"{running.address}/twice/x", code=2)
    here.close()


def test_one_changes_ones_own_password(lepton: Lepton, running: Server) -> None:
    lepton("user", "add", "pat", "--password-stdin", stdin=PASSWORD + "\n")
    login.by_password(running.address, "pat", PASSWORD)
    said = lepton("user", "password", "--password-stdin", stdin="a wrong old one\n" + NEW + "\n", code=2)
    assert "wrong" in said
    said = lepton("user", "password", "--password-stdin", stdin=PASSWORD + "\nshort\n", code=2)
    assert "fewer than 10" in said
    assert "pat has a new password" in lepton(
        "user", "password", "--password-stdin", stdin=f"{PASSWORD}\n{NEW}\n"
    )
    login.by_password(running.address, "pat", NEW)
    assert "whose password" in lepton("user", "password", "--server", running.folder, code=2)
    assert "administrator" in lepton("user", "password", "ana", "--password-stdin", stdin=NEW + "\n", code=2)
    assert "administrator" in lepton("remote", "repositories", "--removed", code=2)


def test_tokens_are_listed_made_and_revoked(
    lepton: Lepton, running: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = lepton(
        "token",
        "make",
        "nightly",
        "--scope",
        "read",
        "--days",
        7,
        "--password-stdin",
        "--json",
        stdin=PASSWORD,
    )
    assert made["scopes"] == ["read"]
    listed = {one["id"]: one for one in lepton("token", "--json")}
    assert listed[made["id"]]["name"] == "nightly"
    assert made["secret"] not in lepton("token", "list")
    monkeypatch.setenv("LEPTON_AI_TOKEN", made["secret"])
    assert "scope 'write'" in lepton("token", "revoke", made["id"], code=2)
    monkeypatch.delenv("LEPTON_AI_TOKEN")
    lepton("token", "revoke", made["id"])
    assert made["id"] not in lepton("token", "list")
    assert "no token" in lepton("token", "revoke", "nothing", code=2)
    assert "read, write and admin" in lepton(
        "token", "make", "x", "--scope", "fly", "--password-stdin", stdin=PASSWORD, code=2
    )
    secret = lepton("token", "make", "x", "--password-stdin", stdin=PASSWORD)
    connection = Connection(running.address, secret.split()[0])
    with pytest.raises(Forbidden):
        connection.call("GET", "/removed-repositories")
    connection.close()
    lepton("logout", running.address)
    assert "not logged in anywhere" in lepton("token", "list", code=2)
    assert "lepton login" in lepton("token", "list", "--server", running.address, code=2)


def _token(running: Server) -> str:
    return credentials.token(running.address) or ""


def test_longer_work_of_a_server_is_begun_shown_and_cancelled(
    lepton: Lepton, running: Server, tmp_path: Path
) -> None:
    url, here = f"{running.address}/works/digits", tmp_path / "one"
    with ModelRepository(here, author="ana") as repo:
        save(repo, tmp_path / "in", weights())
        repo.add_remote("origin", url)
        repo.push()
    assert "no jobs" in lepton("job", "--repo", here)
    done = lepton("job", "begin", "verify", "--wait", "--repo", here, "--json")
    assert (done["kind"], done["state"], done["result"]["clean"]) == ("verify", "done", True)
    assert done["result"]["versions"] == 1
    shown = lepton("job", "show", done["id"], "--repo", url)
    assert ["State:", "done"] in [line.split() for line in shown.splitlines()]
    assert ["Clean:", "yes"] in [line.split() for line in shown.splitlines()]
    assert "is over already: done" in lepton("job", "cancel", done["id"], "--repo", url)
    begun = lepton("job", "begin", "gc", "--dry-run", "--grace", "2d", "--repo", here, "--json")
    assert (begun["asked"]["dry_run"], begun["asked"]["grace"]) == (True, 172800.0)
    listed = lepton("job", "list", "--repo", url, "--json")
    assert [one["id"] for one in listed] == [begun["id"], done["id"]]
    assert len(lepton("job", "list", "--limit", 1, "--repo", here, "--json")) == 1
    assert done["id"] in lepton("job", "--repo", url)
    assert "there is no job" in lepton("job", "show", "nothing", "--repo", url, code=2)
    assert "is no work" in lepton("job", "begin", "sing", "--repo", url, code=2)
    assert "not for verify" in lepton("job", "begin", "verify", "--grace", "1d", "--repo", url, code=2)


def test_only_servers_have_jobs_and_those_with_the_key_do_them(
    lepton: Lepton, running: Server, tmp_path: Path
) -> None:
    here = tmp_path / "one"
    with ModelRepository(here, author="ana") as repo:
        save(repo, tmp_path / "in", weights())
        repo.add_remote("usb", tmp_path / "usb")
        repo.push()
        repo.add_remote("team", f"{running.address}/works/closed")
        repo.push("team", keep_key=True)
    assert "only a server has jobs" in lepton("job", "--remote", "usb", "--repo", here, code=2)
    assert "several remotes" in lepton("job", "--repo", here, code=2)
    assert "key" in lepton("job", "begin", "verify", "--remote", "team", "--repo", here, code=3)
