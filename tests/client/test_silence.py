"""A server that says nothing is left alone after a while; one that is slow, but there, is not."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from lepton_ai.client import waiting
from lepton_ai.client.connection import Connection
from lepton_ai.client.reaching import Unreached
from lepton_ai.errors import StorageFailed

DONE = b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n"
BODY = 16 << 20

Talk = Callable[[socket.socket], None]


class Slow:
    """A server each of whose connections is a ``talk``; what is asked is counted."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._open: list[socket.socket] = []
        self.asked = 0
        self._door = socket.socket()
        self._door.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 15)  # the system keeps little for us
        self._door.bind(("127.0.0.1", 0))
        self._door.listen()
        self.address = f"http://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                line, _ = self._door.accept()
                self._open.append(line)
                threading.Thread(target=self._serve, args=(line,), daemon=True).start()

    def _serve(self, line: socket.socket) -> None:
        with suppress(OSError):
            line.recv(1 << 12)
            self.asked += 1
            self._talk(line)

    def close(self) -> None:
        for each in (self._door, *self._open):
            each.close()


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Talk], tuple[Slow, Connection]]]:
    made: list[Slow] = []

    def start(talk: Talk) -> tuple[Slow, Connection]:
        made.append(Slow(talk))
        return made[-1], Connection(made[-1].address)

    monkeypatch.setattr(waiting, "FIRST", 0.001)
    yield start
    for each in made:
        each.close()


Start = Callable[[Talk], tuple[Slow, Connection]]


def test_a_silent_server_is_asked_twice(slow: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "READ", 0.2)
    server, connection = slow(lambda line: time.sleep(30))
    with pytest.raises(Unreached, match=r"is silent: nothing came for 0 seconds.*repeat later") as caught:
        connection.send("GET", "/me")
    assert caught.value.silent
    assert server.asked == waiting.SILENT == 2
    with pytest.raises(StorageFailed, match="is silent"):
        connection.send("POST", "/users")
    assert server.asked == 3, "it may have been done"


def test_one_that_falls_silent_in_its_answer(slow: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "READ", 0.2)

    def talk(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nbegun")
        time.sleep(30)

    _, connection = slow(talk)
    with pytest.raises(StorageFailed, match="is silent"):
        connection.send("GET", "/me")
    answer = connection.send("GET", "/me", stream=True)
    with pytest.raises(StorageFailed, match="is silent"):
        list(connection.portions(answer))


def test_one_that_works_at_length_is_waited_for(slow: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "READ", 0.2)

    def talk(line: socket.socket) -> None:
        time.sleep(1)
        line.sendall(DONE)

    server, connection = slow(talk)
    assert connection.send("POST", "/commit", works=True).status == 204
    assert server.asked == 1


def test_an_answer_that_drips_is_read_to_its_end(slow: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "READ", 1.0)

    def talk(line: socket.socket) -> None:
        line.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n")
        for _ in range(30):
            line.sendall(b".")
            time.sleep(0.05)

    server, connection = slow(talk)
    assert connection.send("GET", "/me").data == b"." * 30
    assert server.asked == 1


def test_a_large_body_goes_over_a_slow_line(slow: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as it moves: the time is for a portion, not for all of it."""
    monkeypatch.setattr(waiting, "CONNECT", 0.5)
    monkeypatch.setattr(waiting, "READ", 3.0)
    came = []

    def talk(line: socket.socket) -> None:
        while sum(came) < BODY - (1 << 12):  # the first bytes are read already
            came.append(len(line.recv(1 << 16)))
            time.sleep(0.01)
        line.sendall(DONE)

    server, connection = slow(talk)
    assert connection.send("PUT", "/upload", bytes(BODY), repeat=False).status == 204
    assert server.asked == 1
