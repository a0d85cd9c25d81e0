"""An application over an embedded catalog and folder, in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from argon2 import PasswordHasher
from starlette.testclient import TestClient

from lepton_ai.catalog import passwords
from lepton_ai.server import founding
from lepton_ai.server.app import create_app
from lepton_ai.server.settings import ServerSettings
from tests.server.databases import database, prepared

__all__ = ["database", "prepared"]

ADDRESS = "http://127.0.0.1:8750"
PASSWORD = "correct horse battery"


@pytest.fixture
def settings(tmp_path: Path, request: pytest.FixtureRequest) -> ServerSettings:
    """Over the embedded database, or over the one that the test's fixture ``database`` names."""
    found = request.getfixturevalue("database") if "database" in request.fixturenames else ""
    return ServerSettings(folder=tmp_path / "server", database=found)


@pytest.fixture
def closed(settings: ServerSettings) -> TestClient:
    """A client of an application whose lifespan has not begun: database and objects are not there."""
    return TestClient(create_app(settings), base_url=ADDRESS, raise_server_exceptions=False)


@pytest.fixture
def founded(settings: ServerSettings, monkeypatch: pytest.MonkeyPatch) -> ServerSettings:
    """A server with ana, its administrator; passwords are hashed quickly."""
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(1, 8, 1))
    founding.found(settings, "ana", PASSWORD)
    return msgspec.structs.replace(settings, rate=1e6, burst=1_000_000, login_rate=1e6, login_burst=1_000_000)


@pytest.fixture
def server(founded: ServerSettings) -> Iterator[TestClient]:
    """A client of the running application, not logged in."""
    app = create_app(founded)
    with TestClient(app, base_url=ADDRESS, raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def ana(server: TestClient) -> TestClient:
    """The same, as the administrator, by token."""
    return by_token(server, "ana", PASSWORD)


def by_token(
    server: TestClient, user: str, password: str, scopes: tuple[str, ...] = ("read", "write", "admin")
) -> TestClient:
    """A client with a token of ``user``, of an application that runs."""
    token = {"name": "tests", "scopes": scopes}
    answer = server.post("/api/v1/login/token", json={"user": user, "password": password, "token": token})
    assert answer.status_code == 201, answer.text
    client = TestClient(server.app, base_url=ADDRESS, raise_server_exceptions=False)
    client.portal = server.portal
    client.headers["Authorization"] = f"Bearer {answer.json()['secret']}"
    return client


def by_session(server: TestClient, user: str, password: str) -> TestClient:
    """A client with a session of ``user``, as a browser has it; its CSRF token is sent along."""
    client = TestClient(server.app, base_url=ADDRESS, raise_server_exceptions=False)
    client.portal = server.portal
    answer = client.post("/api/v1/login", json={"user": user, "password": password})
    assert answer.status_code == 200, answer.text
    client.headers["X-CSRF-Token"] = answer.json()["csrf"]
    return client
