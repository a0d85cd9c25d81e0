"""One server over HTTP: certificates, time-outs, retries, the token, and its errors as ours."""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from lepton_ai import wire
from lepton_ai._version import __version__
from lepton_ai.client import address, problems, waiting
from lepton_ai.decodable import ready
from lepton_ai.errors import StorageFailed, UsageError

if TYPE_CHECKING:
    import ssl

    import urllib3
    from urllib3.response import BaseHTTPResponse

AGENT = f"lepton-ai/{__version__}"
CONNECT, READ = 10.0, 120.0
"""Seconds to wait for a connection, and between two portions of an answer."""
STREAMS = 8
"""Connections to one server that are kept."""
JSON = "application/json"
PORTION = 1 << 16
"""Bytes of a streamed answer that are passed on at once."""


class Connection:
    """Requests to one server (``https://host[:port][/path]``), from any thread; ``token`` says who asks.

    A request is repeated when it is known that nothing was done, or when doing it twice is doing it once.
    """

    def __init__(self, server: str, token: str | None = None) -> None:
        self.server = server
        self._token = token
        self._pool = _pool(server)

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
    ) -> Any:
        """Ask ``/api/v1`` + ``path``; the answer as ``tells`` (None: nothing is expected).

        ``repeat``: whether it may be sent again although the first may have arrived (default: all but POST and PATCH).

        Raises:
            LeptonError: what the server says. StorageFailed: it cannot be reached, or answers what nobody can read.
        """
        try:
            sent = None if body is None else msgspec.json.encode(body)
        except UnicodeEncodeError as problem:
            raise UsageError("what is asked for is not Unicode text", hint="write it in UTF-8") from problem
        answer = self.send(method, path, sent, JSON, headers=headers, repeat=repeat, query=query)
        if tells is None:
            return None
        try:
            return msgspec.json.decode(answer.data, type=ready(tells))
        except msgspec.MsgspecError as problem:
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
    ) -> BaseHTTPResponse:
        """Send a request under ``/api/v1``; the answer, of a status below 300 or in ``accept``.

        Nobody is followed elsewhere: what a proxy or a page of a login redirects was not done.

        ``stream``: its body is read by :meth:`portions`, and the answer closed by the caller.

        Raises:
            LeptonError: what the server says. StorageFailed: it cannot be reached.
        """
        own = {} if self._token is None else {"Authorization": f"Bearer {self._token}"}
        own |= {} if body is None else {"Content-Type": content_type}
        own |= headers or {}
        url = f"{self.server}{wire.PREFIX}{path}"
        asked = Asked(method, url, body, own, query, stream)
        answer = self._tried(asked, method not in ("POST", "PATCH") if repeat is None else repeat)
        if answer.status >= 300 and answer.status not in accept:
            data = answer.data
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
        answer = self._tried(Asked(method, url, body, dict(headers), None, stream), again=True)
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
            with _reached(self.server):
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
        for attempt in range(waiting.ATTEMPTS):
            last = attempt == waiting.ATTEMPTS - 1
            try:
                with _reached(self.server):
                    answer = self._once(asked)
            except Unreached as problem:
                if last or not (again or problem.before):
                    raise
                time.sleep(waiting.pause(attempt))
                continue
            later = answer.status in waiting.LATER or (again and answer.status in waiting.BROKEN)
            if last or not later:
                return answer
            answer.close()
            time.sleep(waiting.pause(attempt, answer.headers))
        raise AssertionError("unreachable")

    def _once(self, asked: Asked) -> BaseHTTPResponse:
        import urllib3

        return self._pool.request(
            asked.method,
            asked.url,
            fields=dict(asked.query) if asked.query else None,
            body=asked.body,
            headers={"User-Agent": AGENT, "Accept": f"{JSON}, */*", **asked.headers},
            timeout=urllib3.Timeout(connect=CONNECT, read=READ),
            retries=False,
            redirect=False,
            preload_content=not asked.stream,
        )


class Asked(NamedTuple):
    """A request."""

    method: str
    url: str
    body: bytes | None
    headers: Mapping[str, str]
    query: Mapping[str, str] | None
    stream: bool


class Unreached(StorageFailed):
    """No whole answer came. ``before``: the request was not even sent."""

    def __init__(self, message: str, *, hint: str, before: bool) -> None:
        super().__init__(message, hint=hint)
        self.before = before


class Elsewhere(StorageFailed):
    """An object store refused what the server said that it takes."""

    def __init__(self, message: str, status: int, where: str) -> None:
        super().__init__(message, hint=f"ask whoever runs the server about {where}")
        self.status = status


@contextmanager
def _reached(server: str) -> Iterator[None]:
    """Turn what urllib3 raises into our error; its own words may hold addresses that are signed."""
    import urllib3.exceptions as wrong

    try:
        yield
    except wrong.SSLError as problem:
        raise UsageError(
            f"the certificate of {server} is not valid: {_certificate(problem)}",
            hint="name the authority's file in SSL_CERT_FILE if it is your own",
        ) from None
    except (wrong.NewConnectionError, wrong.ConnectTimeoutError, wrong.NameResolutionError) as problem:
        raise Unreached(
            f"{server} cannot be reached: {_reason(problem)}",
            hint="check the address and the network, then repeat",
            before=True,
        ) from None
    except wrong.HTTPError as problem:
        raise Unreached(
            f"the connection to {server} broke off: {_reason(problem)}",
            hint="repeat: what has arrived stays"
            + ("; or does it speak https://?" if server.startswith("http:") else ""),
            before=False,
        ) from None


def _reason(problem: Exception) -> str:
    import urllib3.exceptions as wrong

    if isinstance(problem, wrong.NameResolutionError):
        return "its name is not known"
    if isinstance(problem, wrong.TimeoutError) and not isinstance(problem, wrong.NewConnectionError):
        return "no answer in time"
    inner = problem.args[1] if len(problem.args) > 1 else problem
    for cause in (inner, problem.__cause__, problem.__context__):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "it was closed in the middle"


def _certificate(problem: Exception) -> str:
    inner = problem.args[0] if problem.args else problem
    return str(getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or "it does not fit")


def _pool(server: str) -> urllib3.PoolManager:
    """Where connections come from: straight, or through the proxy that the environment names."""
    from urllib.request import getproxies, proxy_bypass

    import urllib3

    options: dict[str, Any] = {"maxsize": STREAMS, "block": False}
    if server.startswith("https:"):
        options["ssl_context"] = _certificates()
    scheme, _, host = server.partition("://")
    proxy = getproxies().get(scheme)
    if proxy and not address.is_loopback(address.host(server)) and not proxy_bypass(host):
        return urllib3.ProxyManager(proxy, **options)
    return urllib3.PoolManager(**options)


def _certificates() -> ssl.SSLContext:
    """Whom to trust: the system's authorities, or those in SSL_CERT_FILE.

    Raises:
        UsageError: there is no certificate in that file; Python would say nothing, and trust nobody.
    """
    import ssl

    own = os.environ.get("SSL_CERT_FILE")
    context = ssl.create_default_context()
    if own and not context.cert_store_stats()["x509"]:
        raise UsageError(
            f"SSL_CERT_FILE names {own}, in which there is no authority's certificate",
            hint="name a PEM file, or unset it",
        )
    return context
