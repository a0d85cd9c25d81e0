"""One server over HTTP: certificates, time-outs, retries, the token, and its errors as ours."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from io import BytesIO
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lepton_ai import wire
from lepton_ai._version import __version__
from lepton_ai.client import address, problems, waiting
from lepton_ai.client.pools import pool
from lepton_ai.client.reaching import Unreached, reached
from lepton_ai.decodable import ready
from lepton_ai.errors import StorageFailed, UsageError
from lepton_ai.squeezing import JSON, PACKED, ZSTD, squeeze, unsqueeze

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

AGENT = f"lepton-ai/{__version__}"
LARGEST = 1 << 30
"""Bytes to which an answer may open."""
PACKING = {"Accept": PACKED, "Accept-Encoding": ZSTD}
"""What says that an answer may come packed and squeezed."""
PORTION = 1 << 16
"""Bytes of a streamed answer that are passed on at once."""


class Connection:
    """Requests to one server (``https://host[:port][/path]``), from any thread; ``token`` says who asks.

    A request is repeated when it is known that nothing was done, or when doing it twice is doing it once. ``hurried``:
    a person waits for it, and has perhaps mistyped something: it is repeated once, and soon or not at all.
    """

    def __init__(self, server: str, token: str | None = None, *, hurried: bool = False) -> None:
        self.server = server
        self._token = token
        self._hurried = hurried
        self._pool = pool(server)

    def call(
        self,
        method: str,
        path: str,
        body: msgspec.Struct | None = None,
        tells: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
        query: Mapping[str, str] | None = None,
        packed: bool = False,
        works: bool = False,
    ) -> Any:
        """Ask ``/api/v1`` + ``path``; the answer as ``tells`` (None: nothing is expected).

        ``repeat``: whether it may be sent again although the first may have arrived (default: all but POST and PATCH).
        ``packed``: both bodies travel packed, and squeezed where that saves something; not every address takes that.
        ``works``: the server may have to look through much before it answers.

        Raises:
            LeptonError: what the server says. StorageFailed: it cannot be reached, or answers what nobody can read.
        """
        own = dict(PACKING) if packed else {}
        sent, kind = _written(body, packed) if body is not None else (None, JSON)
        small = squeeze(sent) if packed and sent is not None else None
        if small is not None:
            sent, own["Content-Encoding"] = small, ZSTD
        answer = self.send(
            method, path, sent, kind,
            headers={**own, **(headers or {})}, repeat=repeat, query=query, works=works,
        )  # fmt: skip
        if tells is None:
            return None
        try:
            data = opened(answer)
            if answer.headers.get("Content-Type", "") == PACKED:
                return msgspec.msgpack.decode(data, type=ready(tells))
            return msgspec.json.decode(data, type=ready(tells))
        except (msgspec.MsgspecError, UsageError) as problem:
            raise StorageFailed(
                f"{self.server} answers {path} in a way that this version of lepton-ai cannot read",
                hint="is one of both much older than the other?",
            ) from problem

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        content_type: str = "application/octet-stream",
        *,
        headers: Mapping[str, str] | None = None,
        repeat: bool | None = None,
        query: Mapping[str, str] | None = None,
        accept: Collection[int] = (),
        stream: bool = False,
        works: bool = False,
    ) -> BaseHTTPResponse:
        """Send a request under ``/api/v1``; the answer, of a status below 300 or in ``accept``.

        Nobody is followed elsewhere: what a proxy or a page of a login redirects was not done.

        ``stream``: its body is read by :meth:`portions`, and the answer closed by the caller.
        ``works``: see :meth:`call`.

        Raises:
            LeptonError: what the server says. StorageFailed: it cannot be reached.
        """
        own = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        own |= {} if body is None else {"Content-Type": content_type}
        own |= headers or {}
        url = f"{self.server}{wire.PREFIX}{path}"
        asked = Asked(method, url, body, own, query, stream, waiting.WORK if works else waiting.READ)
        answer = self._tried(asked, method not in ("POST", "PATCH") if repeat is None else repeat)
        if answer.status >= 300 and answer.status not in accept:
            data = opened(answer)
            answer.close()
            raise problems.error(answer.status, data, self.server)
        return answer

    def elsewhere(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str],
        accept: Collection[int] = (),
        stream: bool = False,
    ) -> BaseHTTPResponse:
        """Send a request to an object store that the server named, without telling it who asks.

        Raises:
            StorageFailed: it cannot be reached, or refuses.
            UsageError: the address is plain HTTP to another machine, or this machine's own.
        """
        store = address.server(url.partition("?")[0])
        where = store.split("/")[2]
        if address.is_loopback(address.host(store)) and not address.is_loopback(address.host(self.server)):
            raise UsageError(f"{self.server} sends to {where}, which is this machine", hint="ask who runs it")
        answer = self._tried(Asked(method, url, body, dict(headers), None, stream, waiting.READ), again=True)
        if answer.status >= 300 and answer.status not in accept:
            answer.close()
            raise Elsewhere(
                f"the object store of {self.server} refuses ({answer.status})", answer.status, where
            )
        return answer

    def portions(self, answer: BaseHTTPResponse) -> Iterator[bytes]:
        """The body of a streamed answer as it comes; ends early when the connection breaks off.

        Raises:
            StorageFailed: nothing came at all.
        """
        count = 0
        try:
            with reached(self.server, waiting.READ):
                for data in answer.stream(PORTION):
                    count += len(data)
                    yield data
        except Unreached:
            if not count:
                raise

    def close(self) -> None:
        """Let go of the connections."""
        self._pool.clear()

    def _tried(self, asked: Asked, again: bool) -> BaseHTTPResponse:
        attempts = waiting.HURRIED if self._hurried else waiting.ATTEMPTS
        longest = waiting.SOON if self._hurried else waiting.LONGEST
        for attempt in range(attempts):
            last = attempt == attempts - 1
            try:
                with reached(self.server, asked.patience):
                    answer = self._once(asked)
            except Unreached as problem:
                given_up = last or waiting.enough(attempt + 1, silent=problem.silent)
                if given_up or not (again or problem.before) or (problem.lasting and attempt):
                    raise
                time.sleep(waiting.pause(attempt))
                continue
            later = answer.status in waiting.LATER or (again and answer.status in waiting.BROKEN)
            if last or not later or waiting.asked(answer.headers) > longest:
                return answer
            answer.close()
            time.sleep(waiting.pause(attempt, answer.headers))
        raise AssertionError("unreachable")

    def _once(self, asked: Asked) -> BaseHTTPResponse:
        import urllib3

        headers = {"User-Agent": AGENT, "Accept": "*/*", "Accept-Encoding": "identity", **asked.headers}
        body: bytes | BytesIO | None = asked.body
        if asked.body:
            # As a file it goes in small portions, each with its own time: a slow line is no silent one.
            body, headers["Content-Length"] = BytesIO(asked.body), str(len(asked.body))
        return self._pool.request(
            asked.method,
            asked.url,
            fields=dict(asked.query) if asked.query else None,
            body=body,
            headers=headers,
            timeout=urllib3.Timeout(connect=waiting.CONNECT, read=asked.patience),
            retries=False,
            redirect=False,
            preload_content=not asked.stream,
            decode_content=False,
        )


class Asked(NamedTuple):
    """A request; ``patience``: seconds without a byte after which its answer is not waited for any more."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    query: Mapping[str, str] | None
    stream: bool
    patience: float


class Elsewhere(StorageFailed):
    """An object store refused what the server said that it takes."""

    def __init__(self, message: str, status: int, where: str) -> None:
        super().__init__(message, hint=f"ask whoever runs the server about {where}")
        self.status = status


def _written(body: msgspec.Struct, packed: bool) -> tuple[bytes, str]:
    """A body as it travels, and its media type."""
    try:
        if packed:
            try:
                return msgspec.msgpack.encode(body), PACKED
            except OverflowError:  # a number that only JSON can write
                pass
        return msgspec.json.encode(body), JSON
    except UnicodeEncodeError as problem:
        raise UsageError("what is asked for is not Unicode text", hint="write it in UTF-8") from problem


def opened(answer: BaseHTTPResponse) -> bytes:
    """The body of an answer, as it was before it was squeezed.

    Raises:
        UsageError: it cannot be opened.
    """
    data = answer.data
    return unsqueeze(data, LARGEST) if answer.headers.get("Content-Encoding", "") == ZSTD else data
