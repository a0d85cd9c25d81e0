"""From an address to where requests go."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.client.address import Address, parse, server
from lepton_ai.errors import UsageError
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
