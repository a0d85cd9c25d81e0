"""A history over HTTP keeps what every history promises, and no commit is applied twice or reported lost to itself."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from lepton_ai import squeezing, wire
from lepton_ai.client import waiting
from lepton_ai.client.connection import Connection
from lepton_ai.client.history import HttpHistory
from lepton_ai.errors import Busy, LeptonError, LostRace, NotFound, StorageFailed, Unauthenticated
from lepton_ai.history.refs import calls
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move, VersionRow
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.testing.refs import RefSuite

QUESTIONS: dict[str, tuple[type[msgspec.Struct], Callable[[History, Any], list[Any]]]] = {
    "get": (calls.Get, lambda h, c: list(h.get(c.keys).values())),
    "scan": (calls.Scan, lambda h, c: h.scan(c.prefix, after=c.after, limit=c.limit)),
    "log": (calls.Log, lambda h, c: h.log(c.prefix, before=c.before, limit=c.limit)),
    "versions": (calls.Versions, lambda h, c: list(h.versions(c.ids).values())),
    "revisions": (
        calls.Revisions,
        lambda h, c: [row for rows in h.revisions(c.firsts).values() for row in rows],
    ),
    "named": (calls.Named, lambda h, c: h.named(c.name)),
    "find": (calls.Find, lambda h, c: h.find(c.prefix, limit=c.limit)),
    "page": (calls.Page, lambda h, c: h.page(before=c.before, limit=c.limit)),
    "contents": (calls.Contents, lambda h, c: list(h.contents(c.digests).values())),
}


class Double(ThreadingHTTPServer):
    """The wire's calls over a history in a file, without any checks: those of a server are its own."""

    daemon_threads = True

    def __init__(self, history: History) -> None:
        self.history = history
        self.faults: list[Any] = []
        """What happens to the next requests: a status, a problem, or "cut" once it is done."""
        self.seen: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Double

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == squeezing.ZSTD:
            body = squeezing.unsqueeze(body, 1 << 20)
        packed = self.headers["Content-Type"] == squeezing.PACKED
        decode = msgspec.msgpack.decode if packed else msgspec.json.decode
        call = self.path.rpartition("/")[2]
        self.server.seen.append((call, dict(self.headers)))
        fault = self.server.faults.pop(0) if self.server.faults else None
        if isinstance(fault, tuple):
            status, data, headers = fault
            self._answer(status, data, headers)
            return
        try:
            if call == "commit":
                self.server.history.commit(decode(body, type=Commit))
                status, data = 204, b""
            else:
                kind, ask = QUESTIONS[call]
                status, data = (
                    200,
                    msgspec.json.encode(ask(self.server.history, decode(body, type=kind))),
                )
        except LeptonError as problem:
            status = 409
            data = msgspec.json.encode(
                wire.Problem("Conflict", 409, problem.kind, problem.message, problem.hint)
            )
        if fault == "cut":
            self.close_connection = True
            self.connection.close()
            return
        self._answer(status, data, {})

    def _answer(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Double]:
    monkeypatch.setattr(waiting, "FIRST", 0.001)
    server = Double(SqliteHistory(tmp_path / "history.db"))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
    server.history.close()


def connected(double: Double) -> HttpHistory:
    return HttpHistory(Connection(double.address, "lai_1_secret"), "/repositories/ada/digits")


class TestOverHttp(RefSuite):
    """The suite of every history."""

    threads, increments = 2, 10

    @pytest.fixture
    def history(self, double: Double) -> Iterator[HttpHistory]:
        found = connected(double)
        yield found
        found.close()

    @pytest.fixture
    def reopen(self, double: Double) -> Iterator[Callable[[], History]]:
        opened: list[HttpHistory] = []

        def again() -> History:
            opened.append(connected(double))
            return opened[-1]

        yield again
        for each in opened:
            each.close()


@pytest.fixture
def history(double: Double) -> Iterator[HttpHistory]:
    found = connected(double)
    yield found
    found.close()


def version(record: bytes) -> VersionRow:
    id_ = hashlib.sha256(record).digest()
    return VersionRow(id_, id_, 1, "v1", "ab", (), None, 0, 1, record)


def put(key: str, expected: int, value: bytes) -> Commit:
    return Commit("ada", "put", moves=(Move(key, expected, value),))


def test_a_commit_whose_answer_was_cut_is_applied_once(double: Double, history: HttpHistory) -> None:
    double.faults = ["cut"]
    history.commit(put("branch/main", ABSENT, b"1"))
    ref = history.get(["branch/main"])["branch/main"]
    assert len(history.log("branch/main")) == 1
    double.faults = ["cut", (503, b"", {"Retry-After": "0"})]
    history.commit(put("branch/main", ref.stamp, b"2"))
    assert len(history.log("branch/main")) == 2
    keys = {headers["Idempotency-Key"] for call, headers in double.seen if call == "commit"}
    assert len(keys) == 2


def test_a_race_that_was_lost_to_somebody_else_is_told(double: Double, history: HttpHistory) -> None:
    history.commit(put("branch/main", ABSENT, b"1"))
    double.faults = [(502, b"", {})]
    with pytest.raises(StorageFailed):
        history.commit(put("branch/main", ABSENT, b"2"))
    with pytest.raises(LostRace, match="branch/main"):
        history.commit(put("branch/main", ABSENT, b"2"))
    assert history.get(["branch/main"])["branch/main"].value == b"1"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_what_is_sent_elsewhere_was_not_done(double: Double, history: HttpHistory, status: int) -> None:
    """A proxy that wants TLS, or a page where people log in: neither has applied anything."""
    double.faults = [(status, b"<html>", {"Location": "https://login.example.com/"})] * 2
    with pytest.raises(StorageFailed, match="sends elsewhere"):
        history.commit(put("branch/main", ABSENT, b"1"))
    with pytest.raises(StorageFailed, match="sends elsewhere"):
        history.get(["branch/main"])
    assert len(double.seen) == 2, "nobody is followed, and nobody is asked twice"
    assert history.get(["branch/main"]) == {}


def test_a_commit_upon_which_others_have_built_meanwhile_went_through(
    double: Double, history: HttpHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its answer was lost, and when it is asked for the branch stands further on."""
    new = version(b"r")
    mine = msgspec.structs.replace(put("branch/main", ABSENT, new.id.hex().encode()), versions=(new,))
    paused = waiting.pause

    def meanwhile(*told: Any) -> float:
        monkeypatch.setattr(waiting, "pause", paused)
        there = double.history.get(["branch/main"])["branch/main"]
        double.history.commit(put("branch/main", there.stamp, b"what somebody else built upon it"))
        return 0.0

    monkeypatch.setattr(waiting, "pause", meanwhile)
    double.faults = ["cut"]
    history.commit(mine)
    assert [entry.after for entry in history.log("branch/main")][1:] == [mine.moves[0].value]
    double.faults = ["cut"]
    with pytest.raises(LostRace):
        history.commit(put("branch/main", ABSENT, b"what never was there"))


def test_who_is_busy_is_asked_again_and_at_last_believed(
    double: Double, history: HttpHistory, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = (503, msgspec.json.encode(wire.Problem("Busy", 503, "busy", "not now")), {"Retry-After": "0"})
    double.faults = [busy, busy, (429, b"", {"Retry-After": "0"})]
    assert history.get(["x"]) == {}
    assert len(double.seen) == 4
    monkeypatch.setattr(waiting, "ATTEMPTS", 3)
    double.faults = [busy] * 3
    with pytest.raises(Busy, match="not now"):
        history.get(["x"])


def test_what_a_server_says_becomes_our_error_and_tells_no_secret(
    double: Double, history: HttpHistory
) -> None:
    def says(kind: str, status: int = 400) -> tuple[int, bytes, dict[str, str]]:
        return status, msgspec.json.encode(wire.Problem("t", status, kind, "it is so", "do this")), {}

    double.faults = [says("not-found", 404), says("of-another-year")]
    double.faults += [says("unauthenticated", 401), (401, b"<html>", {})]
    with pytest.raises(NotFound, match=r"it is so .do this"):
        history.get(["x"])
    with pytest.raises(StorageFailed, match="it is so"):
        history.get(["x"])
    for _ in range(2):
        with pytest.raises(Unauthenticated, match=r"lepton login http://127") as told:
            history.get(["x"])
        assert "secret" not in str(told.value)
    double.faults = [(200, b"[1]", {})]
    with pytest.raises(StorageFailed, match="cannot read"):
        history.get(["x"])


def test_versions_are_asked_for_once(double: Double, history: HttpHistory) -> None:
    assert history.versions([b"0" * 32]) == {}
    assert history.versions([b"0" * 32]) == {}
    assert [call for call, _ in double.seen] == ["versions"] * 2


def test_nobody_there_is_told_plainly(double: Double, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "ATTEMPTS", 2)
    history = HttpHistory(Connection("http://127.0.0.1:1", "lai_1_secret"), "/repositories/ada/digits")
    with pytest.raises(StorageFailed, match=r"http://127.0.0.1:1 cannot be reached: connection refused"):
        history.get(["x"])
