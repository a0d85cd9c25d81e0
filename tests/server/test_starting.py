"""``lepton server`` and ``lepton user`` as a person runs them: real processes, real sockets, TLS."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import ssl
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lepton_ai.cli.app import run
from tests.server.certificates import self_signed
from tests.server.processes import PASSWORD, Done, Server, make, started

Run = Callable[..., Done]


@pytest.fixture
def lepton(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """A command, run in this process: what it needs to say no is tested so, without a second for a new one."""

    def called(*arguments: str, stdin: str = "", **environment: str) -> Done:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(stdin))
            for name, value in environment.items():
                patch.setenv(name, value)
            capfd.readouterr()
            code = run(list(arguments))
        out, err = capfd.readouterr()
        return Done(code, out, err)

    return called


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(tmp_path_factory.mktemp("servers") / "team")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with started(folder) as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


def test_what_init_makes_is_private(folder: Path) -> None:
    assert folder.stat().st_mode & 0o077 == 0
    assert (folder / "keys" / "server.key").stat().st_mode & 0o077 == 0
    assert (folder / "server.json").stat().st_mode & 0o077 == 0
    assert all(PASSWORD.encode() not in path.read_bytes() for path in folder.rglob("*") if path.is_file())


def test_what_init_makes_in_a_folder_that_others_enter_is_private_too(lepton: Run, tmp_path: Path) -> None:
    """Hashes of passwords and of tokens are in the database, weights without encryption among the objects."""
    (tmp_path / "shared").mkdir(0o755)
    made = lepton(
        "server",
        "init",
        str(tmp_path / "shared"),
        "--admin",
        "ana",
        "--password-stdin",
        stdin=f"{PASSWORD}\n",
    )
    assert made.returncode == 0, made.stderr
    there = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "shared").iterdir()}
    assert {"catalog.db", "objects", "keys", "server.json"} <= there.keys()
    assert set(there.values()) == {0}, there


def test_init_does_not_touch_a_server_that_is_there(folder: Path, lepton: Run) -> None:
    again = lepton(
        "server", "init", str(folder), "--admin", "eve", "--password-stdin", stdin="another password\n"
    )
    assert (again.returncode, "there is a server in" in again.stderr) == (2, True)
    listed = lepton("user", "list", "--server", str(folder)).stdout
    assert "eve" not in listed
    assert "ana" in listed


@pytest.mark.parametrize(
    ("password", "admin", "words"),
    [("short\n", "ana", "fewer than 10"), ("\n", "ana", "empty"), ("a good password\n", "A B", "cannot name a user"),
     ("a good password\n", "", "who is the administrator"), ("anabella-ana\n", "anabella-ana", "too easy")],
)  # fmt: skip
def test_without_a_good_password_nothing_is_made(
    tmp_path: Path, password: str, admin: str, words: str, lepton: Run
) -> None:
    done = lepton("server", "init", str(tmp_path / "s"), "--admin", admin, "--password-stdin", stdin=password)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert not (tmp_path / "s").exists()


def test_no_password_is_made_up(tmp_path: Path, lepton: Run) -> None:
    done = lepton("server", "init", str(tmp_path / "s"), "--admin", "ana")
    assert (done.returncode, "no terminal to ask" in done.stderr) == (2, True)
    assert not (tmp_path / "s").exists()


def test_an_init_that_was_cut_off_is_gone_on_with(tmp_path: Path, lepton: Run) -> None:
    folder = make(tmp_path / "s")
    (folder / "server.json").unlink()
    key = (folder / "keys" / "server.key").read_bytes()
    assert lepton("server", "start", str(folder)).returncode == 2
    make(folder)
    assert (folder / "keys" / "server.key").read_bytes() == key


def test_a_second_start_on_a_folder_is_refused_and_says_where_the_first_is(
    server: Server, folder: Path, lepton: Run
) -> None:
    second = lepton("server", "start", str(folder), "--port", "0")
    assert second.returncode == 3
    assert f"process {server.process.pid}, {server.address}" in second.stderr


def test_a_port_that_is_taken_is_told(tmp_path: Path, folder: Path, lepton: Run) -> None:
    other = make(tmp_path / "other")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = lepton("server", "start", str(other), "--port", str(port))
    assert (done.returncode, f"another program listens on 127.0.0.1:{port}" in done.stderr) == (3, True), (
        done.stderr
    )
    assert lepton("server", "start", str(other), "--host", "192.0.2.1", "--insecure").returncode == 3


@pytest.mark.parametrize(
    ("flags", "words"),
    [(["--host", "0.0.0.0"], "plain HTTP on 0.0.0.0"), (["--tls-cert", "x"], "go together"),
     (["--tls-cert", "x", "--tls-key", "y"], "there is no file"), (["--workers", "0"], "out of range"),
     (["--objects", "ftp://x"], "no kind of object store"), (["--database", "oracle://x"], "oracle")],
)  # fmt: skip
def test_what_cannot_be_served_is_refused(tmp_path: Path, flags: list[str], words: str, lepton: Run) -> None:
    (tmp_path / "server.json").write_text("{}")
    done = lepton("server", "start", str(tmp_path), *flags)
    assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert done.stderr.count("\n") == 1


def test_a_database_without_its_tables_is_told(tmp_path: Path, lepton: Run) -> None:
    (tmp_path / "server.json").write_text("{}")
    done = lepton("server", "start", str(tmp_path), "--database", f"sqlite:///{tmp_path}/other.db")
    assert (done.returncode, "lepton server migrate" in done.stderr) == (2, True), done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_in_order(tmp_path: Path, number: int) -> None:
    with started(make(tmp_path / "s")) as server:
        assert server.stop(number) == 0
        assert server.lines()[-1]["message"].startswith("Finished server process")
        assert (tmp_path / "s" / "server.lock").read_bytes() == b""


def test_the_search_index_is_made_anew_while_the_server_runs(
    server: Server, folder: Path, lepton: Run
) -> None:
    done = lepton("server", "reindex", str(folder), "--json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"repositories": []})
    assert "index anew" in lepton("server", "reindex", str(folder)).stderr
    assert "no repository ada/none" in lepton("server", "reindex", str(folder), "--only", "ada/none").stderr
    assert lepton("server", "reindex", str(folder), "--only", "none").returncode == 2
    assert "there is no server in" in lepton("server", "reindex", "nowhere").stderr


def test_users_are_administered_over_the_network(server: Server, tmp_path: Path, lepton: Run) -> None:
    where = ("--server", server.address)
    key = server.token()["Authorization"].removeprefix("Bearer ")
    added = lepton(
        "user", "add", "bob", "--password-stdin", *where, stdin="a first password\n", LEPTON_AI_TOKEN=key
    )
    assert added.returncode == 0, added.stderr
    assert "bob" in lepton("user", *where, LEPTON_AI_TOKEN=key).stdout
    for verb in ("unlock", "deactivate", "activate"):
        assert lepton("user", verb, "bob", *where, LEPTON_AI_TOKEN=key).returncode == 0
    changed = lepton(
        "user", "password", "bob", "--password-stdin", *where, stdin="another password\n", LEPTON_AI_TOKEN=key
    )
    assert changed.returncode == 0, changed.stderr
    body = {"user": "bob", "password": "another password"}
    assert httpx.post(f"{server.address}/api/v1/login", json=body).status_code == 200
    nobody = lepton("user", "list", *where, LEPTON_AI_TOKEN="lai_no_token")
    assert (nobody.returncode, "token" in nobody.stderr) == (2, True)
    secrets = (key, PASSWORD, "a first password", "another password")
    assert not any(secret in str(line) for line in server.lines() for secret in secrets)


def test_it_speaks_tls(folder: Path, certificate: tuple[Path, Path], tmp_path: Path) -> None:
    made = make(tmp_path / "s")
    cert, key = certificate
    trust = ssl.create_default_context(cafile=cert)
    flags = ("--host", "0.0.0.0", "--tls-cert", str(cert), "--tls-key", str(key))
    with started(made, *flags) as server:
        assert server.address.startswith("https://0.0.0.0:")
        address = server.address.replace("0.0.0.0", "127.0.0.1")
        answer = httpx.post(
            f"{address}/api/v1/login", json={"user": "ana", "password": PASSWORD}, verify=trust
        )
        assert answer.status_code == 200
        assert "max-age" in answer.headers["strict-transport-security"]
        assert answer.headers["set-cookie"].startswith("__Host-")
        with pytest.raises(httpx.TransportError):
            httpx.get(address.replace("https", "http") + "/healthz")
        assert server.stop() == 0


def test_only_a_proxy_that_is_named_is_believed(tmp_path: Path) -> None:
    made = make(tmp_path / "s")
    forwarded = {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
    login = {"user": "ana", "password": PASSWORD}
    for flags, cookie, client in (([], "lepton_ai_session", "127.0.0.1"),
                                  (["--proxy-headers", "127.0.0.1"], "__Host-", "203.0.113.9")):  # fmt: skip
        with started(made, "--root-path", "/models", *flags) as server:
            base = server.address  # a proxy takes /models off
            answer = httpx.post(f"{base}/api/v1/login", json=login, headers=forwarded)
            assert answer.status_code == 200
            assert answer.headers["set-cookie"].startswith(cookie)
            assert httpx.get(f"{base}/api/v1/me").status_code == 401
            (line,) = [line for line in server.lines() if line.get("path", "").endswith("/login")]
            assert (line["client"], line["route"]) == (client, "/api/v1/login")
            assert server.stop() == 0


def test_the_environment_is_listened_to(tmp_path: Path) -> None:
    made = make(tmp_path / "s")
    with started(made, LEPTON_AI_SERVER_LOG_LEVEL="error", LEPTON_AI_SERVER_HOSTS="models.example") as server:
        port = server.address.rpartition(":")[2]
        assert httpx.get(f"{server.address}/api/v1/openapi.json").status_code == 421
        named = {"Host": f"models.example:{port}"}
        assert httpx.get(f"{server.address}/api/v1/openapi.json", headers=named).status_code == 200
        assert server.lines() == []
    assert "LEPTON_AI_SERVER_HOSTS" not in os.environ


def test_a_certificate_that_does_not_fit_is_told_before_an_address_is(
    folder: Path, certificate: tuple[Path, Path], tmp_path: Path, lepton: Run
) -> None:
    made = make(tmp_path / "s")
    cert, key = certificate
    kind, curve = serialization.PrivateFormat.PKCS8, ec.SECP256R1()
    ways = {"other": serialization.NoEncryption(), "locked": serialization.BestAvailableEncryption(b"secret")}
    own = serialization.load_pem_private_key(key.read_bytes(), None)
    keys = {"other": ec.generate_private_key(curve), "locked": own}
    for name, way in ways.items():
        data = keys[name].private_bytes(serialization.Encoding.PEM, kind, way)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "text").write_text("no certificate")
    for crt, own_key in ((cert, tmp_path / "other"), (cert, tmp_path / "locked"), (tmp_path / "text", key)):
        done = lepton(
            "server", "start", str(made), "--port", "0", "--tls-cert", str(crt), "--tls-key", str(own_key)
        )
        assert (done.returncode, done.stdout) == (2, ""), done
        assert "cannot be used for TLS" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_second_host_takes_the_key_and_the_people_of_the_first(tmp_path: Path, lepton: Run) -> None:
    shared = ("--database", f"sqlite:///{tmp_path}/shared.db", "--objects", f"file://{tmp_path}/objects")
    first, second = make(tmp_path / "first", *shared), tmp_path / "second"
    words = ("server", "init", str(second), "--password-stdin", *shared, "--admin")
    done = lepton(*words, "eve", stdin=PASSWORD + "\n")
    assert (done.returncode, "administrator of theirs" in done.stderr) == (2, True), done.stderr
    assert not (second / "keys").exists()
    with started(first) as server:
        token = server.token()
        made = httpx.post(
            f"{server.address}/api/v1/repositories", headers=token, json={"owner": "ana", "name": "x"}
        )
        assert made.status_code == 201
        other = lepton(*words, "ana", stdin=PASSWORD + "\n")
        assert (other.returncode, "copy keys/server.key" in other.stderr) == (3, True), other.stderr
        assert not (second / "keys" / "server.key").exists()
        assert not (second / "server.json").exists()
        shutil.copytree(first / "keys", second / "keys", dirs_exist_ok=True)
        assert lepton(*words, "ana", stdin=PASSWORD + "\n").returncode == 0
        alone = make(tmp_path / "alone")
        shutil.copy(alone / "keys" / "server.key", second / "keys" / "server.key")
        with started(second) as another:
            assert any("not the key of the servers" in str(line.get("message")) for line in another.lines())
