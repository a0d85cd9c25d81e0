"""A wire that is cut after so many bytes, and counts them."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress


class Wire:
    """Passes bytes between whoever connects to ``address`` and the server at ``port`` of this machine.

    ``cut_after``: bytes, both ways together, after which all connections are torn; ``down``: none is made any more.
    """

    def __init__(self, port: int, scheme: str = "http") -> None:
        self._target = port
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._door.getsockname()[1])
        self.address = f"{scheme}://127.0.0.1:{self.port}"
        self.up = self.back = self.cuts = self.requests = 0
        self.cut_after: int | None = None
        self.down = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def total(self) -> int:
        """Bytes that passed, both ways."""
        return self.up + self.back

    def reset(self, cut_after: int | None = None) -> None:
        """Begin to count anew."""
        with self._lock:
            self.up = self.back = self.cuts = self.requests = 0
            self.cut_after, self.down = cut_after, False

    def close(self) -> None:
        self._door.close()
        self._tear()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._door.accept()
            except OSError:
                return
            if self.down:
                client.close()
                continue
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            with self._lock:
                self._open |= {client, server}
            for source, sink, up in ((client, server, True), (server, client, False)):
                threading.Thread(target=self._pass, args=(source, sink, up), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, up: bool) -> None:
        with suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(self._counted(data, up))
        for end in (source, sink):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        with self._lock:
            self._open -= {source, sink}

    def _counted(self, data: bytes, up: bool) -> bytes:
        """What of the data still passes."""
        with self._lock:
            left = (
                len(data) if self.cut_after is None else min(len(data), max(0, self.cut_after - self.total))
            )
            self.up += left if up else 0
            self.requests += data.count(b" HTTP/1.1\r\n") if up else 0
            self.back += 0 if up else left
            torn = left < len(data)
            if torn:
                self.cut_after, self.cuts = None, self.cuts + 1
        if torn:
            self._tear()
            raise OSError("cut")
        return data[:left]

    def _tear(self) -> None:
        with self._lock:
            ends, self._open = self._open, set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
