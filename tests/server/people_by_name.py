"""A server in this process, migrated, with three people; who they are is told by name instead of by a token."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from fastapi import Request
from starlette.testclient import TestClient

from lepton_ai.catalog import passwords, people
from lepton_ai.catalog.database import Catalog
from lepton_ai.errors import Unauthenticated
from lepton_ai.server import auth
from lepton_ai.server.access import Caller
from lepton_ai.server.app import create_app
from lepton_ai.server.running import Running
from lepton_ai.server.settings import ServerSettings

ADDRESS = "http://127.0.0.1:8750"
PEOPLE = {
    "ada": frozenset({"read", "write"}),
    "eve": frozenset({"read", "write"}),
    "guest": frozenset({"read"}),
    "root": frozenset({"read", "write", "admin"}),
}


def known(held: Running, request: Request) -> Caller:
    """Who a request says that it comes from."""
    name = request.headers.get("authorization", "").removeprefix("Bearer ")
    if name not in PEOPLE:
        raise Unauthenticated("this needs a login")
    number = people.find(held.catalog, name).number
    return Caller(name, number, name == "root", PEOPLE[name], "token", name, [])


@pytest.fixture(scope="session")
def empty_catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database, to be copied."""
    file = tmp_path_factory.mktemp("catalog") / "catalog.db"
    made = Catalog(f"sqlite:///{file}")
    made.migrate()
    add_people(made)
    made.close()
    return file


def add_people(catalog: Catalog) -> None:
    """Whoever may ask."""
    for name in PEOPLE:
        people.add_user(catalog, name, f"the password of {name}", name == "root")


@pytest.fixture
def settings(
    tmp_path: Path, empty_catalog: Path, database: str, monkeypatch: pytest.MonkeyPatch
) -> ServerSettings:
    made = ServerSettings(folder=tmp_path / "server", database=database, rate=1e6, burst=10**6)
    made.folder.mkdir()
    if not database:
        shutil.copy(empty_catalog, made.folder / "catalog.db")
        return made
    monkeypatch.setattr(passwords, "HASHER", PasswordHasher(1, 8, 1))
    catalog = Catalog(database, connections=1)
    add_people(catalog)
    catalog.close()
    return made


@pytest.fixture
def called(
    settings: ServerSettings, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[str], TestClient]]:
    """A client for a person, by name."""
    monkeypatch.setattr(auth, "identify", known)
    app = create_app(settings)
    with TestClient(app, base_url=ADDRESS) as running:

        def client(name: str) -> TestClient:
            made = TestClient(app, base_url=ADDRESS, headers={"Authorization": f"Bearer {name}"})
            made.portal = running.portal
            return made

        yield client


@pytest.fixture
def ada(called: Callable[[str], TestClient]) -> TestClient:
    return called("ada")


@pytest.fixture
def root(called: Callable[[str], TestClient]) -> TestClient:
    return called("root")
