"""What may stand between us and an S3 store: one that drops headers, as some stores do, or a line that is cut."""

from __future__ import annotations

import http.client
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

Cut: TypeAlias = Literal["question", "unanswered", "answer"]
"""Where the line is cut: in the request's body, before the answer (the store has done it), in the answer's body."""


class Line:
    """Nothing passes while it is ``closed``.

    Requests are numbered from 0 in ``count``; number ``cut_at`` is cut ``where`` it says, every other one passes.
    """

    def __init__(self, drops: Collection[str] = ()) -> None:
        self.address = ""
        self.drops = drops
        self.closed = False
        self.count = 0
        self.cut_at: int | None = None
        self.where: Cut = "answer"
        self._lock = Lock()

    def watch(self, cut_at: int | None, where: Cut) -> None:
        """Count from 0 again."""
        with self._lock:
            self.count, self.cut_at, self.where = 0, cut_at, where

    def next(self) -> Cut | None:
        """Where the request that comes now is cut."""
        with self._lock:
            number, self.count = self.count, self.count + 1
            return self.where if number == self.cut_at else None


@contextmanager
def between(server: str, drops: Collection[str] = ()) -> Iterator[Line]:
    """A line to ``server``, on which the headers ``drops`` (in small letters) of requests get lost."""
    target, line = urlsplit(server).netloc, Line(drops)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            if line.closed:
                self.close_connection = True
                return
            cut = line.next()
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length // 2 if cut == "question" else length)
            if cut == "question":
                self.close_connection = True
                return
            status, headers, data = self._passed_on(body)
            if cut == "unanswered":
                self.close_connection = True
                return
            self.send_response_only(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data[: len(data) // 2] if cut else data)
            self.close_connection = cut is not None or self.close_connection

        def _passed_on(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
            passed = {name: value for name, value in self.headers.items() if name.lower() not in line.drops}
            with closing(http.client.HTTPConnection(target, timeout=30)) as connection:
                connection.request(self.command, self.path, body, passed)
                answer = connection.getresponse()
                data = answer.read()
            ours = ("transfer-encoding", "connection", "content-length")
            headers = [(name, value) for name, value in answer.getheaders() if name.lower() not in ours]
            told = answer.getheader("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            return answer.status, [*headers, ("Content-Length", told)], data

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, *given: object) -> None:
            """Nobody reads it."""

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=proxy.serve_forever)
    thread.start()
    line.address = f"http://127.0.0.1:{proxy.server_port}"
    try:
        yield line
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()
