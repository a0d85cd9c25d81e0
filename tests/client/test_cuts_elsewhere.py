"""The line is cut at any byte where more stands on the way: TLS, and an object store that clients reach straight."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import ModelRepository
from lepton_ai.client import credentials, login, waiting
from lepton_ai.client.connection import Connection
from lepton_ai.errors import UsageError
from lepton_ai.wire import Me
from tests.client.cutting import check, clone, travel
from tests.client.places import save, tuned, weights
from tests.client.proxy import Wire
from tests.server.certificates import self_signed
from tests.server.processes import PASSWORD, Server, make, started

PAST = 200_000
"""Bytes of a pack that come through the server all the same: what is read first, and the version's record."""


@pytest.fixture(autouse=True)
def quick(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody of whom nothing is kept yet; nobody waits long."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(waiting, "FIRST", 0.01)


@pytest.fixture
def secret_wire(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Wire, Server]]:
    """A wire on which nothing can be read, to a server whose certificate the client trusts."""
    certificate, key = self_signed(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    flags = ("--tls-cert", str(certificate), "--tls-key", str(key))
    with started(make(tmp_path / "server"), *flags) as server:
        wire = Wire(int(server.address.rpartition(":")[2]), "https")
        for address in (server.address, wire.address):
            login.by_password(address, "ana", PASSWORD)
        yield wire, server
        wire.close()


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("cuts", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_cuts_under_tls(cuts: int, secret_wire: tuple[Wire, Server], tmp_path: Path) -> None:
    wire, server = secret_wire
    chance, url = random.Random(11), f"{wire.address}/ana/digits"
    with ModelRepository(tmp_path / "ours", author="ana") as ours:
        ours.add_remote("origin", url)
        save(ours, tmp_path / "in", weights())
        ours.push()
        with ModelRepository.clone(url, tmp_path / "theirs") as theirs:
            models = [tuned(weights(), 1 + number) for number in range(cuts // 4)]
            assert travel(wire, ours, theirs, models, tmp_path / "in", chance) >= 2 * len(models) - 1
            clone(wire, url, ours, tmp_path, chance, cuts - 2 * len(models))
            check(f"{server.address}/ana/digits", ours, theirs, tmp_path)


def test_a_cut_before_anything_is_said(
    secret_wire: tuple[Wire, Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    """While keys are agreed upon: that the line breaks says nothing about the certificate."""
    wire, _ = secret_wire
    for after in (1, 100, 500, 800, 1200, 1600):
        wire.reset(after)
        connection = Connection(wire.address, credentials.token(wire.address))
        assert connection.call("GET", "/me", None, Me).user == "ana"
        assert wire.cuts == 1
        connection.close()
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(UsageError, match=r"certificate of .* is not valid: .*self-signed"):
        Connection(wire.address).call("GET", "/me", None, Me)


@pytest.fixture
def wire_to_store(s3_server: str) -> Iterator[Wire]:
    """Between clients and the object store; the server has another way."""
    wire = Wire(int(s3_server.rpartition(":")[2]))
    yield wire
    wire.close()


def large(seed: int) -> dict[str, Any]:
    """A model of 20 MiB, which is more than what comes through the server anyway."""
    return {"w": np.random.default_rng(seed).standard_normal(5 << 20, dtype=np.float32)}


@pytest.mark.timeout(2400)
@pytest.mark.parametrize("cuts", [4, pytest.param(50, marks=pytest.mark.slow)])
def test_cuts_on_the_way_to_the_store(cuts: int, s3_url: str, wire_to_store: Wire, tmp_path: Path) -> None:
    chance, wire = random.Random(12), wire_to_store
    with started(make(tmp_path / "server"), "--objects", f"{s3_url}&public={wire.address}") as server:
        login.by_password(server.address, "ana", PASSWORD)
        url = f"{server.address}/ana/digits"
        with ModelRepository(tmp_path / "ours", author="ana") as ours:
            ours.add_remote("origin", url)
            save(ours, tmp_path / "in", large(0))
            ours.push()
            assert wire.total > 16 << 20
            with ModelRepository.clone(url, tmp_path / "theirs") as theirs:
                rounds = cuts // 4
                clone(wire, url, ours, tmp_path, chance, cuts - 2 * rounds)
                models = [large(1 + number) for number in range(rounds)]
                assert travel(wire, ours, theirs, models, tmp_path / "in", chance, -PAST) == 2 * rounds
                check(url, ours, theirs, tmp_path)
