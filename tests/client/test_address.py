"""From an address to where requests go."""

from __future__ import annotations

import socket
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from lepton_ai import wire
from lepton_ai.client import login, waiting
from lepton_ai.client.address import Address, parse, server
from lepton_ai.client.connection import Connection
from lepton_ai.errors import StorageFailed, TooManyRequests, UsageError
from lepton_ai.history import home as homes


@pytest.mark.parametrize(
    ("text", "base", "owner", "name"),
    [
        ("https://Host.Example/ada/digits", "https://host.example", "ada", "digits"),
        ("https://host:443/ada/digits/", "https://host", "ada", "digits"),
        ("https://host:8443/models/ada/digits", "https://host:8443/models", "ada", "digits"),
        ("http://127.0.0.1:8000/ada/digits", "http://127.0.0.1:8000", "ada", "digits"),
        ("http://[::1]:8000/ada/digits", "http://[::1]:8000", "ada", "digits"),
        ("http://localhost/ada/digits", "http://localhost", "ada", "digits"),
        (str(Path("https://host/ada/digits")), "https://host", "ada", "digits"),
    ],
)
def test_a_repository_is_named_by_its_address(text: str, base: str, owner: str, name: str) -> None:
    assert homes.is_address(text)
    assert parse(text) == Address(base, owner, name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("https://host", "names no repository"),
        ("https://host/ada", "names no repository"),
        ("https://host/ada/../digits", "names no repository"),
        ("https://host/ada/digits?x=1", "no address"),
        ("ftp://host/ada/digits", "no address"),
        ("https://[::1/ada/digits", "no address"),
        ("http://host/ada/digits", "not encrypted"),
        ("http://localhost.evil.example/ada/digits", "not encrypted"),
        ("http://127.0.0.1.evil.example/ada/digits", "not encrypted"),
    ],
)
def test_what_is_no_address_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        parse(text)


def test_a_password_in_an_address_is_refused_and_not_repeated() -> None:
    for text in ("https://ada:secret@host/ada/digits", "ftp://ada:secret@host/ada/digits"):
        with pytest.raises(UsageError) as refused:
            parse(text)
        assert "secret" not in str(refused.value)


def test_plain_http_is_a_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_INSECURE", "1")
    assert server("http://host:80/") == "http://host"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The tries after which somebody waited."""
    found: list[int] = []

    def pause(attempt: int, *_: object) -> float:
        found.append(attempt)
        return 0.0

    monkeypatch.setattr(waiting, "pause", pause)
    return found


def test_who_logs_in_at_a_wrong_address_hears_so_soon(pauses: list[int]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # and nobody listens
        with pytest.raises(StorageFailed, match="refused"):
            login.by_password(f"http://127.0.0.1:{taken.getsockname()[1]}", "ana", "correct horse battery")
    assert len(pauses) == 1


def test_a_name_that_is_not_known_will_not_be_so_in_a_moment(
    pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(StorageFailed, match="its name is not known"):
        Connection("https://models.example.com").call("GET", "/me")
    assert len(pauses) == 1


def test_who_is_asked_to_wait_long_hears_so_instead(
    pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    told = wire.Problem("Too many", 429, "too-many-requests", "too many failed logins", "wait 25 s")

    def answered(asked: str) -> None:
        answer = SimpleNamespace(
            status=429, headers={"Retry-After": asked}, data=msgspec.json.encode(told), close=lambda: None
        )
        monkeypatch.setattr(Connection, "_once", lambda *_: answer)

    answered("25")
    with pytest.raises(TooManyRequests, match="wait 25 s"):
        Connection("https://models.example.com").call("GET", "/me")
    assert not pauses, "coming again before that is of no use"
    answered("6")
    with pytest.raises(TooManyRequests):
        login.by_password("https://models.example.com", "ana", "correct horse battery")
    assert not pauses
    with pytest.raises(TooManyRequests):
        Connection("https://models.example.com").call("GET", "/me")
    assert len(pauses) == waiting.ATTEMPTS - 1
