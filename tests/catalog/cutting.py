"""A way to a server that can be cut at a chosen moment, as cables are."""

from __future__ import annotations

import socket
import threading
from types import TracebackType
from typing import Literal

Moment = Literal["before", "after"]


class Cable:
    """Forwards a local port to ``target``.

    ``cut("before")`` loses the next COMMIT of a connection that has written; ``cut("after")`` its answer.
    """

    def __init__(self, target: int) -> None:
        self._target = target
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._moment: Moment | None = None
        self.cuts = 0
        threading.Thread(target=self._listen, daemon=True).start()

    def cut(self, moment: Moment) -> None:
        """From the next COMMIT on the connection is gone."""
        self._moment = moment

    def __enter__(self) -> Cable:
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._door.close()

    def _listen(self) -> None:
        while True:
            try:
                near = self._door.accept()[0]
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            threading.Thread(target=self._up, args=(near, far), daemon=True).start()
            threading.Thread(target=self._down, args=(near, far), daemon=True).start()

    def _up(self, near: socket.socket, far: socket.socket) -> None:
        written = False
        while data := _some(near):
            written |= b"UPDATE" in data and b"FOR" not in data
            if self._moment and written and b"COMMIT" in data:
                moment, self._moment = self._moment, None
                self.cuts += 1
                if moment == "after":
                    _end(near)  # nobody hears the answer
                    far.sendall(data)
                    while _some(far):  # until the server has done it and sees that nobody is there
                        _end(far)
                break
            written &= b"COMMIT" not in data
            far.sendall(data)
        _end(near)
        _end(far)

    def _down(self, near: socket.socket, far: socket.socket) -> None:
        while data := _some(far):
            try:
                near.sendall(data)
            except OSError:
                break


def _some(source: socket.socket) -> bytes:
    try:
        return source.recv(1 << 16)
    except OSError:
        return b""


def _end(one: socket.socket) -> None:
    try:
        one.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
    finally:
        one.close()
