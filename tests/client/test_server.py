"""The journeys of a team over a real server."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import ModelRepository, wire
from lepton_ai.client import login
from lepton_ai.client.connection import Connection
from lepton_ai.client.home import FarHome
from lepton_ai.errors import Diverged, KeyMissing, NotFound, Unauthenticated
from lepton_ai.server.shapes import NewFile, NewVersion
from tests.client.conftest import PASSWORD, PROGRAM, Server
from tests.client.places import content, names, save, size_of, tuned, weights


@pytest.fixture
def url(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a repository that is not there yet, for somebody who is logged in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    login.by_password(running.address, "ana", PASSWORD)
    return f"{running.address}/ana/{tmp_path.name.replace('_', '-')}"


@pytest.fixture
def ours(url: str, tmp_path: Path) -> Iterator[ModelRepository]:
    """A repository here with v1 and v2, and a remote."""
    with ModelRepository(tmp_path / "ours", author="ana") as repo:
        repo.add_remote("origin", url)
        save(repo, tmp_path / "in", weights(), metrics={"loss": 0.5})
        save(repo, tmp_path / "in", tuned(weights(), 1), message="tuned")
        yield repo


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Server) -> None:
    """From now on this is another computer of somebody who is logged in."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "other-config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other-cache"))
    login.by_password(running.address, "ana", PASSWORD)


def test_push_and_clone_on_another_computer(
    ours: ModelRepository, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Server
) -> None:
    pushed = ours.push()
    assert pushed.versions == ("v1", "v2")
    assert pushed.notes == (f"{url} is new; the server holds its key, and can read it",)
    expected = content(ours, "v2", tmp_path / "own")
    elsewhere(tmp_path, monkeypatch, running)
    with ModelRepository.clone(url, tmp_path / "copy", author="bob") as copy:
        assert names(copy) == ["v1", "v2"]
        assert content(copy, "v2", tmp_path / "out") == expected
        assert copy.verify().clean
        save(copy, tmp_path / "in", tuned(weights(), 5))
        copy.push()
    pulled = ours.pull()
    assert pulled.versions == ("v3",)
    assert ours.verify().clean


def test_a_fine_tune_costs_its_difference(ours: ModelRepository, url: str, tmp_path: Path) -> None:
    ours.push()
    for number in range(3, 6):
        before = size_of(ours)
        save(ours, tmp_path / "in", tuned(weights(), number))
        stored = size_of(ours) - before
        pushed = ours.push()
        assert 0 < pushed.bytes <= 1.05 * stored < 100_000
    with ModelRepository(url) as far:
        for number in range(1, 6):
            assert content(far, f"v{number}", tmp_path / "out") == content(
                ours, f"v{number}", tmp_path / "own"
            )
        assert far.verify().clean


def test_a_save_at_the_address_by_somebody_who_may_only_write_costs_its_difference(
    ours: ModelRepository, url: str, running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours.push()
    named = wire.NewToken("writes", ("read", "write"))
    connection = Connection(running.address)
    asked = wire.TokenLogin("ana", PASSWORD, named)
    token: wire.Token = connection.call("POST", "/login/token", asked, wire.Token)
    connection.close()
    monkeypatch.setenv("LEPTON_AI_TOKEN", token.secret or "")
    with ModelRepository(url, author="bob") as far:
        for number in range(3, 6):
            before = size_of(far)
            made = save(far, tmp_path / "in", tuned(weights(), number))
            assert 0 < size_of(far) - before < 100_000
            assert made.notes == ()
        assert far.verify().clean


def test_every_verb_works_at_the_address(ours: ModelRepository, url: str, tmp_path: Path) -> None:
    ours.push()
    with ModelRepository(url, author="ana") as far:
        branch = far.create_branch("feature", base="v1")
        saved = save(far, tmp_path / "in", tuned(weights(), 7), "feature", metrics={"loss": 0.25})
        assert saved.name == "v2"
        assert np.array_equal(far.version("feature").tensor("layer1"), tuned(weights(), 7)["layer1"])
        assert far.diff("v1", "feature").tensors
        far.merge_branch(branch, message="both", on_conflict="theirs")
        far.rollback("v1")
        far.tag("release", "v1")
        far.set_alias("production", "v2")
        far.update_version("v2", metrics={"accuracy": 0.75})
        far.set_alias("production", "v1")
        far.delete_version("v4", why="only tried")
        far.restore_version("v4")
        far.delete_version("v4")
        far.switch("feature")
        assert far.current_branch == "feature"
        far.delete_branch("feature")
        assert [line.ref for line in far.log("alias/production")] == ["alias/production"] * 2
        far.gc(grace=0)
        assert far.verify().clean
        assert far.stats().parts.unique
        assert [info.name for info in far.list_versions("main")] == ["v1", "v2", "v3"]
        assert content(far, "v1", tmp_path / "out") == content(ours, "v1", tmp_path / "own")
    ours.pull()
    assert ours.version("production").name == "v1"
    assert ours.version("v2").metrics == {"accuracy": 0.75}


def test_what_diverged_is_refused_and_brought_together(
    ours: ModelRepository, url: str, tmp_path: Path
) -> None:
    ours.push()
    with ModelRepository(url, author="bob") as far:
        mine, theirs = tuned(weights(), 1), tuned(weights(), 1)
        mine["layer0"] = mine["layer0"] + np.float32(1)
        theirs["layer1"] = theirs["layer1"] + np.float32(2)
        save(ours, tmp_path / "in", mine)
        published = save(far, tmp_path / "in", theirs)
        with pytest.raises(Diverged, match="lepton pull origin --merge"):
            ours.push()
        assert ours.pull(how="merge").notes == (
            "main@v4 brings both together; what was yours is on branch 'main-mine'",
        )
        assert ours.push().notes == ()
        assert names(far) == ["v1", "v2", "v3", "v4"]
        assert far.version("v3").id == published.id
        assert np.array_equal(far.version("v4").tensor("layer0"), mine["layer0"])


def test_blocks_that_were_left_there_come_when_they_are_read(
    ours: ModelRepository, url: str, tmp_path: Path
) -> None:
    ours.push()
    with ModelRepository.clone(url, tmp_path / "copy", content=False) as copy:
        assert size_of(copy) < 10_000
        assert np.array_equal(copy.version("v1").tensor("layer2"), weights()["layer2"])
        assert size_of(copy) < 0.5 * size_of(ours)
        assert content(copy, "v2", tmp_path / "out") == content(ours, "v2", tmp_path / "own")


def test_two_clones_of_one_user(
    ours: ModelRepository, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Server
) -> None:
    ours.push()
    expected = content(ours, "v2", tmp_path / "own")
    elsewhere(tmp_path, monkeypatch, running)
    for number in range(3):
        with ModelRepository.clone(url, tmp_path / f"copy{number}") as copy:
            assert content(copy, "v2", tmp_path / "out") == expected
    for number in range(3):  # none took the key of another
        with ModelRepository(tmp_path / f"copy{number}", create=False) as copy:
            assert copy.verify().clean


def test_a_clone_that_fetches_when_needed_takes_what_others_saved_on_the_server(
    ours: ModelRepository, url: str, tmp_path: Path, running: Server
) -> None:
    ours.push()
    asked = wire.TokenLogin("ana", PASSWORD, wire.NewToken("writes"))
    connection = Connection(running.address)
    token: wire.Token = connection.call("POST", "/login/token", asked, wire.Token)
    connection.close()
    connection = Connection(running.address, token.secret)
    path = f"/repositories/{url.removeprefix(running.address + '/')}/versions"
    with ModelRepository.clone(url, tmp_path / "copy", content=False) as copy:
        for number in range(
            3, 7
        ):  # the server stores what was newest again, as differences, and drops the packs
            save_file(tuned(weights(), number), tmp_path / "model.safetensors")
            file = NewFile("model.safetensors", (tmp_path / "model.safetensors").read_bytes())
            connection.call("POST", path, NewVersion((file,)))
            copy.pull(how="merge", on_conflict="theirs")
            save(copy, tmp_path / "in", tuned(weights(), 10 * number))
            copy.push()
        assert copy.verify().clean
    connection.close()
    assert ours.pull().versions == tuple(f"v{number}" for number in range(3, 11))
    assert content(ours, "v9", tmp_path / "own") == (tmp_path / "model.safetensors").read_bytes()


def test_a_server_without_the_key_sees_nothing_and_keeps_everything(
    ours: ModelRepository, url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: Server
) -> None:
    assert ours.push(keep_key=True).notes == (f"{url} is new; the server does not get its key",)
    with ModelRepository(url) as far:
        assert isinstance(far.home, FarHome)
        assert not far.home.info.readable
        assert content(far, "v2", tmp_path / "out") == content(ours, "v2", tmp_path / "own")
        save(far, tmp_path / "in", tuned(weights(), 3))
    ours.pull()
    assert names(ours) == ["v1", "v2", "v3"]
    elsewhere(tmp_path, monkeypatch, running)
    with pytest.raises(KeyMissing):
        ModelRepository.clone(url, tmp_path / "copy")
    assert not (tmp_path / "copy" / ".lepton").exists()


def test_a_rotated_key_goes_along(ours: ModelRepository, url: str, tmp_path: Path) -> None:
    ours.push()
    with ModelRepository.clone(url, tmp_path / "copy") as copy:
        ours.home.keyring.rotate()
        ours.close()
        with ModelRepository(tmp_path / "ours", author="ana") as again:
            save(again, tmp_path / "in", tuned(weights(), 5))
            again.push()
            copy.pull()
            assert content(copy, "v3", tmp_path / "out") == content(again, "v3", tmp_path / "own")
            assert copy.verify().clean


def test_without_a_login_nothing_is_told(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NotFound):
        ModelRepository(url)
    monkeypatch.setenv("LEPTON_AI_TOKEN", "lai_0_wrong")
    with pytest.raises(Unauthenticated, match=r"lepton login http://127.0.0.1") as refused:
        ModelRepository(url)
    assert "wrong" not in str(refused.value)


def test_the_commands(url: str, running: Server, tmp_path: Path) -> None:
    def lepton(*arguments: object, stdin: str = "", code: int = 0) -> str:
        done = subprocess.run(
            [PROGRAM, *map(str, arguments)],
            input=stdin,
            text=True,
            capture_output=True,
            check=False,
            cwd=tmp_path,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if not code else done.stderr

    lepton("logout", running.address)
    assert "lepton login" in lepton("clone", url, "x", code=2)
    said = json.loads(
        lepton("login", running.address, "--user", "ana", "--password-stdin", "--json", stdin=PASSWORD)
    )
    assert (said["user"], said["admin"]) == ("ana", True)
    (tmp_path / "model.bin").write_bytes(os.urandom(10_000))
    lepton("--repo", "one", "init", "one")
    lepton("--repo", "one", "save", "model.bin")
    lepton("--repo", "one", "remote", "add", "origin", url)
    assert json.loads(lepton("--repo", "one", "remote", "--json"))[0]["url"] == url
    assert json.loads(lepton("--repo", "one", "push", "--dry-run", "--json"))["versions"] == ["v1"]
    assert "lepton login " + running.address + ")" in lepton(
        "login", url, "--user", "ana", "--password-stdin", stdin=PASSWORD, code=2
    )
    assert "pushed 1 version (v1)" in lepton("--repo", "one", "push")
    assert "has everything" in lepton("--repo", "one", "push")
    assert json.loads(lepton("clone", url, "two", "--json"))["versions"] == 1
    (tmp_path / "model.bin").write_bytes(os.urandom(10_000))
    lepton("--repo", "two", "save", "model.bin")
    lepton("--repo", "two", "push")
    assert "pulled 1 version (v2)" in lepton("--repo", "one", "pull")
    assert [each["name"] for each in json.loads(lepton("--repo", url, "versions", "--json"))] == ["v1", "v2"]
    assert "in a clone" in lepton("--repo", url, "keys", "rotate", code=2)
    assert "lepton clone" in lepton("--repo", url, "backup", "b", code=2)
    (tmp_path / "model.bin").write_bytes(os.urandom(10_000))
    lepton("--repo", "one", "save", "model.bin")
    (tmp_path / "model.bin").write_bytes(os.urandom(10_000))
    lepton("--repo", "two", "save", "model.bin")
    lepton("--repo", "two", "push")
    assert "lepton pull origin --merge" in lepton("--repo", "one", "push", code=1)
