"""Logins are kept by server, for their owner only, and two processes do not forget each other's."""

from __future__ import annotations

import stat
import subprocess
import sys
import types
from pathlib import Path

import pytest

from lepton_ai.client import credentials, login
from lepton_ai.client.connection import Connection
from lepton_ai.errors import Damaged, NotFound, UsageError

HOST = "https://host"


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr(credentials, "find_spec", lambda _: None)
    return tmp_path / "lepton-ai"


def test_a_login_is_kept_by_its_server(config: Path) -> None:
    assert credentials.token(HOST) is None
    place = credentials.keep(HOST, "ada", "lai_1_secret")
    assert place == config / "credentials.json"
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(config.stat().st_mode) == 0o700
    credentials.keep("https://other", "bob", "lai_2_secret")
    assert credentials.token(HOST) == "lai_1_secret"
    assert credentials.entries()[HOST].user == "ada"
    assert credentials.forget(HOST)
    assert not credentials.forget(HOST)
    assert credentials.token(HOST) is None
    assert credentials.token("https://other") == "lai_2_secret"


def test_the_environment_goes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.keep(HOST, "ada", "kept")
    monkeypatch.setenv("LEPTON_AI_TOKEN", "given\n")
    assert credentials.token(HOST) == "given"


def test_the_token_of_the_environment_may_be_for_one_server_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    credentials.keep("https://elsewhere", "ada", "lai_kept")
    monkeypatch.setenv("LEPTON_AI_TOKEN", "lai_env")
    monkeypatch.setenv("LEPTON_AI_TOKEN_FOR", "https://HOST:443/")
    assert credentials.token(HOST) == "lai_env"
    assert credentials.token("https://elsewhere") == "lai_kept"
    assert credentials.token("https://host.elsewhere") is None
    monkeypatch.setenv("LEPTON_AI_TOKEN_FOR", "host")
    with pytest.raises(UsageError):
        credentials.token(HOST)


def test_a_damaged_file_says_what_to_do(config: Path) -> None:
    config.mkdir()
    (config / "credentials.json").write_text("{")
    with pytest.raises(Damaged, match="lepton login again"):
        credentials.token(HOST)


def test_processes_that_log_in_at_once_all_stay_logged_in() -> None:
    line = "from lepton_ai.client import credentials as c; [c.keep(f'https://h{n}-%d', 'u', 't') for n in range(5)]"
    started = [subprocess.Popen([sys.executable, "-c", line % number]) for number in range(4)]
    assert [process.wait(60) for process in started] == [0] * 4
    assert len(credentials.entries()) == 20


def test_a_keyring_keeps_the_secret_out_of_the_file(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[tuple[str, str], str] = {}
    ring = types.SimpleNamespace(
        get_keyring=lambda: types.SimpleNamespace(priority=5),
        set_password=lambda service, name, secret: kept.update({(service, name): secret}),
        get_password=lambda service, name: kept.get((service, name)),
        delete_password=lambda service, name: kept.pop((service, name)),
    )
    monkeypatch.setattr(credentials, "find_spec", lambda _: object())
    monkeypatch.setattr(credentials, "import_module", lambda _: ring)
    assert credentials.keep(HOST, "ada", "lai_secret") is None
    assert "lai_secret" not in (config / "credentials.json").read_text()
    assert credentials.token(HOST) == "lai_secret"
    assert credentials.forget(HOST)
    assert not kept


def test_a_file_of_authorities_without_one_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text in (None, "no certificate"):
        file = tmp_path / "own.pem"
        if text is not None:
            file.write_text(text)
        monkeypatch.setenv("SSL_CERT_FILE", str(file))
        with pytest.raises(UsageError, match=r"SSL_CERT_FILE names .*own\.pem"):
            Connection("https://127.0.0.1:1")
    Connection("http://127.0.0.1:1").close()


def test_a_logout_ends_the_login_that_is_kept_and_not_that_of_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    credentials.keep("http://127.0.0.1:1", "ana", "lai_kept_x")
    monkeypatch.setenv("LEPTON_AI_TOKEN", "lai_other_y")
    assert credentials.token("http://127.0.0.1:1") == "lai_other_y"
    assert credentials.kept("http://127.0.0.1:1") == "lai_kept_x"
    ended: list[str | None] = []

    def call(self: Connection, *_: object, **__: object) -> None:
        ended.append(self._token)

    monkeypatch.setattr(Connection, "call", call)
    login.out("http://127.0.0.1:1")
    assert ended == ["lai_kept_x"]
    with pytest.raises(NotFound, match="not logged in"):
        login.out("http://127.0.0.1:1")
