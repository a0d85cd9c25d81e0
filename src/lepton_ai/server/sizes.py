"""How large a request may be, and how long it may take."""

from __future__ import annotations

import asyncio

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lepton_ai.server import auth, problems
from lepton_ai.server.settings import ServerSettings

WITHOUT_LOGIN = 64 << 10
"""Bytes that are read from whoever is not logged in."""


class Sizes:
    """ASGI middleware: 413 for what is too large, 408 when a body stops coming, 503 when no answer begins in time.

    What a thread does when its time is over cannot be stopped; it ends by itself, and its answer is dropped.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings) -> None:
        self._app = app
        self._settings = settings
        self._late: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Go on with a body that is counted and a clock that runs."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        most = WITHOUT_LOGIN if auth.is_open(scope) else self._settings.body_limit
        exchange = _Exchange(receive, send, most, self._settings.idle)
        request_id = str(scope["state"].get("request_id", ""))
        length = Headers(scope=scope).get("content-length", "0")
        if length.isdecimal() and int(length) > most:
            return await problems.answer(_too_large(most), instance=request_id)(scope, receive, send)
        task = asyncio.create_task(self._call(scope, exchange))
        try:
            await asyncio.wait(
                {task, exchange.begun}, timeout=self._settings.timeout, return_when="FIRST_COMPLETED"
            )
            if not task.done() and not exchange.begun.done():
                exchange.drop()
                self._late.add(task)
                task.add_done_callback(self._ended)
                busy = problems.Refused(503, "this took too long", hint="ask for less, or again later")
                return await problems.answer(busy, instance=request_id)(scope, receive, send)
            await task
        except asyncio.CancelledError:
            task.cancel()
            raise
        finally:
            exchange.begun.cancel()

    async def _call(self, scope: Scope, exchange: _Exchange) -> None:
        await self._app(scope, exchange.receive, exchange.send)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._late.discard(task)
        if not task.cancelled():
            task.exception()  # looked at: its answer is not wanted any more


class _Exchange:
    """One request's body and answer."""

    def __init__(self, receive: Receive, send: Send, most: int, idle: float) -> None:
        self._receive = receive
        self._send = send
        self._most = most
        self._idle = idle
        self._read = 0
        self._whole = False
        self._dropped = False
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def receive(self) -> Message:
        """The next part of the body."""
        if self._whole:
            return await self._receive()  # waits for the end of the connection
        try:
            message = await asyncio.wait_for(self._receive(), self._idle)
        except TimeoutError as problem:
            raise HTTPException(408, "the request stopped coming") from problem
        self._read += len(message.get("body", b""))
        if self._read > self._most:
            raise HTTPException(413, _too_large(self._most).message)
        self._whole = not message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        """Pass the answer on, unless somebody else has answered already."""
        if self._dropped:
            return
        if not self.begun.done():
            self.begun.set_result(None)
        await self._send(message)

    def drop(self) -> None:
        """Let nothing of the answer through any more."""
        self._dropped = True


def _too_large(most: int) -> problems.Refused:
    return problems.Refused(413, f"the request is larger than {most:,} bytes", hint="send it in parts")
