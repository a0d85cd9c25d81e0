"""The suites of every history and of all blobs, over a real server: HTTP, login, routes and catalog are what they are.

A server looks into each commit, and refuses what no repository would hold (``tests/server/sync/test_receiving.py``),
which is nearly all that the suite of histories makes up. So this step is left out for it, and what search and events
make of a commit.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest
import uvicorn
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from lepton_ai import wire
from lepton_ai.catalog import people, repositories, tokens
from lepton_ai.client.blobs import HttpBlobs
from lepton_ai.client.connection import Connection
from lepton_ai.client.history import HttpHistory
from lepton_ai.errors import Unsupported
from lepton_ai.history import states
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move
from lepton_ai.server import founding
from lepton_ai.server.app import create_app
from lepton_ai.server.keeping_keys import complete
from lepton_ai.server.routes import history as route
from lepton_ai.server.settings import ServerSettings
from lepton_ai.store.packs.format import pack_name
from lepton_ai.testing.blobs import BlobSuite, packed, put
from lepton_ai.testing.refs import RefSuite
from lepton_ai.testing.refs_machine import RefMachine
from tests.server.conftest import PASSWORD
from tests.server.processes import eventually


class Served:
    """A server in a thread, and its administrator."""

    def __init__(self, folder: Path) -> None:
        self._settings = ServerSettings(folder=folder, rate=1e6, burst=10**6)
        founding.found(self._settings, "ana", PASSWORD)
        app = create_app(self._settings)
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        eventually(lambda: self._server.started)
        self._address = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        self.catalog = app.state.running.catalog
        new = wire.NewToken("suites", ("read", "write", "admin"))
        self._token = tokens.make(self.catalog, people.find(self.catalog, "ana"), new).secret

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def connection(self) -> Connection:
        return Connection(self._address, self._token)

    def repository(self) -> str:
        """The path of a new one, in which is nothing: one that is made by a request has a branch already."""
        new = wire.NewRepository("ana", f"r{secrets.token_hex(6)}")
        repositories.create(self.catalog, complete(new, self._settings.key_file), "ana")
        return f"/repositories/ana/{new.name}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    made = Served(tmp_path_factory.mktemp("served") / "server")
    yield made
    made.stop()


@pytest.fixture
def path(served: Served) -> str:
    return served.repository()


@pytest.fixture
def believed(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commits are applied as they come."""
    monkeypatch.setattr(served.catalog, "hooks", [])
    monkeypatch.setattr(route, "receive", lambda change, history, *_: history.commit(change))


@pytest.fixture
def opened(served: Served) -> Iterator[Callable[[str], HttpHistory]]:
    """Opens the history of a repository; it is closed after the test."""
    made: list[HttpHistory] = []

    def history(path: str) -> HttpHistory:
        made.append(HttpHistory(served.connection(), path))
        return made[-1]

    yield history
    for each in made:
        each.close()


@pytest.mark.usefixtures("believed")
class TestHistory(RefSuite):
    threads, increments = 2, 10

    @pytest.fixture
    def reopen(self, path: str, opened: Callable[[str], HttpHistory]) -> Callable[[], History]:
        return lambda: opened(path)

    @pytest.fixture
    def history(self, reopen: Callable[[], History]) -> History:
        return reopen()


@pytest.mark.usefixtures("believed")
def test_the_machine_of_all_histories(served: Served) -> None:
    class ServedMachine(RefMachine):
        def open(self) -> History:
            self.path = served.repository()
            return self.reopen()

        def reopen(self) -> History:
            return HttpHistory(served.connection(), self.path)

    plan = settings(
        max_examples=6, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(ServedMachine, settings=plan)


class Tidying(HttpBlobs):
    """Deletes as a collection of garbage does: the server lets go of what the history condemned."""

    def __init__(self, connection: Connection, path: str) -> None:
        super().__init__(connection, path)
        self._history = HttpHistory(connection, path)

    def delete(self, names: Iterable[str]) -> None:
        listed = list(names)
        value = states.encode(states.Condemned(1))
        keys = [f"condemned/{pack_name(name)}" for name in listed]
        moves = tuple(Move(key, ABSENT, value, logged=False) for key in keys)
        self._history.commit(Commit("ana", "condemn", moves=moves))
        super().delete(listed)
        gone = tuple(Move(ref.key, ref.stamp, None, logged=False) for ref in self._history.get(keys).values())
        self._history.commit(Commit("ana", "gc", moves=gone))


class TestBlobs(BlobSuite):
    threads, rounds = 4, 5

    def blob(self, name: str, data: bytes) -> tuple[str, bytes]:
        return packed(name, data)

    @pytest.fixture
    def blobs(self, served: Served, path: str) -> Iterator[HttpBlobs]:
        connection = served.connection()
        yield Tidying(connection, path)
        connection.close()

    @pytest.fixture
    def sources(self, tmp_path: Path) -> Path:
        return tmp_path

    def test_a_server_keeps_packs_alone(self, blobs: HttpBlobs, sources: Path) -> None:
        """Other names and other bytes are refused, and nothing is there then."""
        for ask in (lambda: put(blobs, sources, "other/x", b"data"), lambda: blobs.get("other/x", 0, 1)):
            with pytest.raises(Unsupported, match="is no pack"):
                ask()
        assert list(blobs.list()) == []

    def test_large_packs_travel_in_parts(
        self, blobs: HttpBlobs, sources: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        name, data = packed("large", secrets.token_bytes(20 << 20))
        told: list[int] = []
        blobs.told = told.append
        put(blobs, sources, name, data)
        assert sum(told) == len(data)
        assert len(told) > 1
        assert blobs.get(name, 9 << 20, 4 << 20) == data[9 << 20 : 13 << 20]
        assert b"".join(blobs.stream(name, 5, len(data))) == data[5:]
