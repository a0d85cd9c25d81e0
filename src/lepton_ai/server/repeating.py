"""The header ``Idempotency-Key``: a request that arrives twice is done once, and both get the answer of the first.

Not for commits, uploads and questions: a commit moves refs by compare-and-set, and an upload is named by its content,
so that those are done once by themselves.
"""

from __future__ import annotations

import hashlib

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai import wire
from lepton_ai.catalog import idempotency
from lepton_ai.catalog.idempotency import Answer, Turn
from lepton_ai.errors import LeptonError
from lepton_ai.server import problems
from lepton_ai.server.access import Caller
from lepton_ai.server.places import path_of
from lepton_ai.server.running import Running

HEADER = "idempotency-key"
REPLAYED = "idempotent-replayed"
"""In an answer: it was given before."""
METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})
WAIT = 5.0
"""Seconds that the second request waits for the first."""
MOST = 1 << 20
"""Bytes of an answer that are kept; a longer one is not, and the next request is done anew."""
_BY_THEMSELVES = frozenset({"history", "uploads", "objects"})
"""What follows ``/repositories/OWNER/NAME`` in an address."""
_LATER = frozenset({401, 403, 408, 425, 429})
"""Not about the request itself: repeated, it may be answered otherwise."""
_NOT_KEPT = frozenset({"content-length", "date", "set-cookie", "x-request-id"})
_SECRETS = (b'"secret"', b'"master"', b'"csrf"')


class Repeating:
    """ASGI middleware behind :class:`~lepton_ai.server.auth.Authentication`: a key belongs to one token or session."""

    def __init__(self, app: ASGIApp, running: Running) -> None:
        self._app = app
        self._running = running

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer what was answered, or go on and keep the answer."""
        caller: Caller | None = scope.get("state", {}).get("caller") if scope["type"] == "http" else None
        key = Headers(scope=scope).get(HEADER) if caller is not None else None
        if key is None or caller is None or not _wanted(scope):
            await self._app(scope, receive, send)
            return
        try:
            body = await _whole(receive)
            if body is None:
                return  # the client has gone
            found = await run_in_threadpool(self._begin, scope, caller, key, body)
        except HTTPException as problem:
            await _refuse(problems.Refused(problem.status_code, problem.detail), scope, receive, send)
        except LeptonError as problem:
            await _refuse(problem, scope, receive, send)
        else:
            if isinstance(found, Answer):
                caller.asked.append("repeat")  # it was allowed when it was done, to the same token or session
                await _replay(found, send)
                return
            with found:
                await self._work(found, scope, _Once(body, receive), send)

    def _begin(self, scope: Scope, caller: Caller, key: str, body: bytes) -> Turn | Answer:
        target = f"{scope['path']}?{scope['query_string'].decode('latin-1')} {caller.credential}"
        digest = hashlib.sha256(body).digest()
        catalog, number = self._running.catalog, caller.number
        return idempotency.begin(catalog, number, key, scope["method"], target, digest, wait=WAIT)

    async def _work(self, turn: Turn, scope: Scope, receive: Receive, send: Send) -> None:
        held = _Held(turn, send)
        try:
            await self._app(scope, receive, held.send)
        finally:
            await run_in_threadpool(turn.abandon)  # nothing, when an answer was kept


class _Once:
    """The body that was read, for whoever reads it again."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self._receive = receive

    async def __call__(self) -> Message:
        if self._body is None:
            return await self._receive()  # waits for the end of the connection
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Held:
    """An answer that is sent when it is kept."""

    def __init__(self, turn: Turn, send: Send) -> None:
        self._turn, self._send = turn, send
        self._messages: list[Message] = []
        self._size = 0

    async def send(self, message: Message) -> None:
        """Hold a part of the answer back, until it is whole or too long."""
        self._messages.append(message)
        self._size += len(message.get("body", b""))
        last = message["type"] == "http.response.body" and not message.get("more_body", False)
        if not last and self._size <= MOST:
            return
        start = self._messages[0]
        if last and self._size <= MOST and len(self._messages) > 1 and _kept(start["status"]):
            body = b"".join(part.get("body", b"") for part in self._messages[1:])
            answer = Answer(start["status"], _headers(start), body)
            secret = "set-cookie" in Headers(raw=start["headers"]) or any(word in body for word in _SECRETS)
            await run_in_threadpool(self._turn.finish, answer, secret=secret)
        messages, self._messages = self._messages, []
        for part in messages:
            await self._send(part)


def _wanted(scope: Scope) -> bool:
    resource = path_of(scope).removeprefix(f"{wire.PREFIX}/repositories/").split("/")[2:3]
    return scope["method"] in METHODS and not _BY_THEMSELVES.intersection(resource)


def _kept(status: int) -> bool:
    return status < 500 and status not in _LATER


def _headers(start: Message) -> dict[str, str]:
    return {name: value for name, value in Headers(raw=start["headers"]).items() if name not in _NOT_KEPT}


async def _whole(receive: Receive) -> bytes | None:
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


async def _refuse(problem: LeptonError, scope: Scope, receive: Receive, send: Send) -> None:
    instance = str(scope["state"].get("request_id", ""))
    await problems.answer(problem, instance=instance)(scope, receive, send)


async def _replay(answer: Answer, send: Send) -> None:
    headers = MutableHeaders(raw=[])
    for name, value in answer.headers.items():
        headers[name] = value
    headers[REPLAYED] = "true"
    headers["content-length"] = str(len(answer.body))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers.raw})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})
