"""A server that lies: it gets nothing in plain, reaches nothing on this machine, and fills no disk."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from lepton_ai import wire
from lepton_ai.client.address import parse
from lepton_ai.client.blobs import HttpBlobs
from lepton_ai.client.connection import Connection
from lepton_ai.client.home import FarHome, unpack_keys
from lepton_ai.errors import Damaged, UsageError
from lepton_ai.store.durable import make_folder
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.seal.keyring import default_key_file

ID = "0123456789abcdef"


def test_encryption_cannot_be_told_away(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever has a key to a repository would save into it in plain."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    told = wire.RepositoryInfo("ada", "x", "", ID, False, True, 1 << 20, 1, "2026-11-20T10:30:00Z", '"1-1"')
    monkeypatch.setattr(Connection, "call", lambda *_, **__: told)
    FarHome(parse("https://models.example.com/ada/x")).close()
    make_folder(default_key_file(ID).parent)
    default_key_file(ID).touch()
    with pytest.raises(Damaged, match="without encryption"):
        FarHome(parse("https://models.example.com/ada/x"))


@pytest.mark.parametrize("store", ["http://127.0.0.1:9/x", "http://localhost:9/x", "https://[::1]/x"])
def test_a_server_elsewhere_names_nothing_on_this_machine(store: str) -> None:
    connection = Connection("https://models.example.com", "lai_1_secret")
    with pytest.raises(UsageError, match="this machine"):
        connection.elsewhere("PUT", store, b"data", headers={})
    with pytest.raises(UsageError, match="not encrypted"):
        connection.elsewhere("PUT", "http://store.example.com/x", b"data", headers={})


def test_more_than_was_asked_for_is_not_taken() -> None:
    came: list[int] = []

    def portions(_: Any) -> Iterator[bytes]:
        for _number in range(1000):
            came.append(100)
            yield b"x" * 100

    answer = SimpleNamespace(status=206, headers={}, close=lambda: None)
    connection = SimpleNamespace(server="s", send=lambda *_, **__: answer, portions=portions)
    blobs = HttpBlobs(cast("Connection", connection), "/repositories/ada/x")
    assert sum(map(len, blobs.stream(blob_name("ab" * 32), 0, 150))) == 150
    assert len(came) <= 3


@pytest.mark.parametrize("name", ["../x.json", "/x.json", "a/b.json", ".x.json", "x.txt", "..", ""])
def test_a_key_file_that_leads_elsewhere(name: str, tmp_path: Path) -> None:
    with pytest.raises(Damaged, match="which is none"):
        unpack_keys(wire.Keys((wire.KeyFile(name, b"{}"),)), tmp_path / "keys")
    assert [path.name for path in tmp_path.rglob("*")] == ["keys"]
