"""What happens in a repository, as it happens: server-sent events."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Header, Query, Request
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from lepton_ai.catalog import events, repositories
from lepton_ai.catalog.events import Event
from lepton_ai.catalog.repositories import Row
from lepton_ai.errors import Busy, LeptonError, UsageError
from lepton_ai.server.access import Caller, allow
from lepton_ai.server.auth import Reader, identify
from lepton_ai.server.running import Here, Running

router = APIRouter(tags=["events"])

MEDIA_TYPE = "text/event-stream"
MOST_STREAMS = 1000
"""Streams that a process keeps open."""
OF_ONE = 50
"""Of these, how many may be one person's."""
PAGE = 200
RETRY = b"retry: 2000\n\n"
"""A client that lost the stream comes again after so many milliseconds."""
TOLD: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A stream that does not end",
        "content": {
            MEDIA_TYPE: {
                "schema": {"type": "string"},
                "example": 'id: 7\nevent: branch-moved\ndata: {"number":7,"ref":"branch/main"}\n\n',
            }
        },
    }
}


@router.get("/events", summary="Follow a repository", response_class=StreamingResponse, responses=TOLD)
async def follow(
    request: Request,
    here: Here,
    caller: Reader,
    repository: Annotated[str, Query(description="OWNER/NAME", max_length=500, examples=["ada/digits"])],
    last: Annotated[
        str | None, Header(alias="Last-Event-ID", max_length=30, description="Go on behind this event")
    ] = None,
) -> StreamingResponse:
    """Events from now on, or from behind `Last-Event-ID` (0: all that are kept), which an EventSource sends when it
    comes again. `gap` says that some were forgotten in between. A line of comment is a sign of life. The stream ends
    when the server stops, or when the login ends.
    """
    owner, _, name = repository.partition("/")
    row = await run_in_threadpool(repositories.find, here.catalog, owner, name)
    allow(caller, "read", row)
    if last is not None and not (last.isascii() and last.isdecimal()):
        raise UsageError(f"{last!r} is no event's id", hint="a whole number")
    if here.streams.total() >= MOST_STREAMS or here.streams[caller.number] >= OF_ONE:
        raise Busy("too many streams of events are open here", hint="try again later")
    number = int(last) if last is not None else (await run_in_threadpool(_head, here, row))
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(
        _lines(request, here, caller, row, min(number, 2**62)), media_type=MEDIA_TYPE, headers=headers
    )


def _head(here: Running, row: Row) -> int:
    return events.heads(here.catalog, [row.number]).get(row.number, 0)


async def _lines(
    request: Request, here: Running, caller: Caller, row: Row, number: int
) -> AsyncIterator[bytes]:
    here.streams[caller.number] += 1
    here.metrics.streams.inc()
    stopping = asyncio.create_task(here.stopping.wait())
    try:
        async with here.following.of(row.number):
            yield RETRY
            while not stopping.done():
                for event in await run_in_threadpool(_after, here, row, number):
                    if event.number > number + 1:
                        yield _line("gap", event.number - 1, {"after": number, "before": event.number})
                    number = event.number
                    yield _line(event.kind, event.number, event)
                    if stopping.done():
                        break
                waiting = asyncio.create_task(
                    here.following.wait(row.number, number, here.settings.heartbeat)
                )
                await asyncio.wait({waiting, stopping}, return_when="FIRST_COMPLETED")
                heard = waiting.done() and waiting.result()
                waiting.cancel()
                if not heard and not stopping.done():
                    yield b": alive\n\n"
                if not await run_in_threadpool(_may_still, request, here, row):
                    return
    finally:
        stopping.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await stopping
        here.streams -= Counter({caller.number: 1})  # who has none any more is not kept
        here.metrics.streams.dec()


def _after(here: Running, row: Row, number: int) -> list[Event]:
    return events.after(here.catalog, row.number, number, limit=PAGE)


def _may_still(request: Request, here: Running, row: Row) -> bool:
    """Whether the login and the repository are still there: a stream may outlive both."""
    try:
        caller = identify(here, request)
        allow(caller, "read", repositories.find(here.catalog, row.owner, row.name))
    except LeptonError:
        return False
    return True


def _line(kind: str, number: int, data: object) -> bytes:
    return f"id: {number}\nevent: {kind}\ndata: {msgspec.json.encode(data).decode()}\n\n".encode()
