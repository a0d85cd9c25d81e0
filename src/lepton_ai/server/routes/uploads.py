"""Packs on their way in, resumable at any byte by any server."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request
from msgspec.structs import replace
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from lepton_ai import wire
from lepton_ai.errors import UsageError
from lepton_ai.server.asked import WHERE, Writing
from lepton_ai.server.bodies import Sent, Told, told
from lepton_ai.server.raw_bodies import takes_bytes
from lepton_ai.server.uploads.contract import Part, Ticket, read_ticket
from lepton_ai.store.packs.reader import is_there

router = APIRouter(prefix=f"{WHERE}/uploads", tags=["sync"])

Id = Annotated[str, Path(description="The `id` of the upload", max_length=200)]
_STEP = 1 << 20
_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(\d{1,19}|\*)")


@router.post("", summary="Begin, or go on with, bringing a pack", status_code=201)
def begin(asked: Writing, body: Sent[wire.NewUpload]) -> Told[wire.Upload]:
    """The same pack by the same person is the same upload. ``state`` "there": the server has the pack already.

    Where the object store can, a large pack is offered ``parts`` once: addresses that take it straight. Begin again to
    bring it through the server.
    """
    taking = asked.opened.taking
    ticket, held = taking.begin(asked.caller.user, body.pack, body.size)
    return told(replace(_upload(ticket, held), parts=taking.offer(ticket, held)), 201)


@router.get("/{upload}", summary="How far an upload is")
def show(asked: Writing, upload: Id) -> Told[wire.Upload]:
    """``held`` is what the server has from the beginning."""
    return told(_state(asked, read_ticket(upload, asked.caller.user)))


@router.put(
    "/{upload}",
    summary="Bring bytes of a pack",
    openapi_extra=takes_bytes("The bytes from `held` on, with Content-Range"),
)
async def put(
    asked: Writing,
    upload: Id,
    request: Request,
    content_range: Annotated[str, Header(description="bytes FIRST-LAST/SIZE", examples=["bytes 0-99/100"])],
    finish: Annotated[
        bool, Query(description="Whether these are the last, and the pack is to appear")
    ] = False,
) -> Told[wire.Upload]:
    """They must begin at ``held``; else 409 ``lost-race`` says where. What came before a cut is kept."""
    ticket = read_ticket(upload, asked.caller.user)
    first, last = _range(content_range, ticket)
    part: Part = await run_in_threadpool(lambda: asked.opened.taking.open(ticket, first))
    whole = False
    try:
        await _take(request, part, last - first + 1)
        whole = True
    except ClientDisconnect:  # whoever sent it is not there to be told
        pass
    finally:
        await run_in_threadpool(part.close)
    if finish and whole:
        await run_in_threadpool(asked.opened.taking.finish, ticket)
    state = await run_in_threadpool(_state, asked, ticket)
    return told(state, 200 if whole else 499)


@router.post("/{upload}/finish", summary="Let a pack appear")
def finish(asked: Writing, upload: Id, body: Sent[wire.Parts | None] = None) -> Told[wire.Upload]:
    """Its bytes must hash to its name, and its own table of contents must describe it. Repeating it does no harm.

    ``etags`` are what the object store answered to each part that was brought straight, in order.
    """
    ticket = read_ticket(upload, asked.caller.user)
    asked.opened.taking.finish(ticket, body.etags if body is not None else ())
    return told(_upload(ticket, None))


async def _take(request: Request, part: Part, expected: int) -> None:
    """Write the body, in pieces, in threads."""
    kept, waiting, size = 0, list[bytes](), 0
    try:
        async for data in request.stream():
            kept += len(data)
            if kept > expected:
                raise UsageError(f"more bytes come than the {expected:,} that Content-Range says")
            waiting.append(data)
            size += len(data)
            if size >= _STEP:
                await run_in_threadpool(part.write, b"".join(waiting))
                waiting, size = [], 0
    finally:
        if waiting and kept <= expected:
            await run_in_threadpool(part.write, b"".join(waiting))
    if kept != expected:
        raise UsageError(f"{kept:,} bytes came, and Content-Range says {expected:,}; they are kept")


def _state(asked: Writing, ticket: Ticket) -> wire.Upload:
    taking = asked.opened.taking
    return _upload(ticket, None if is_there(taking.blobs, ticket.pack) else taking.desk.held(ticket))


def _upload(ticket: Ticket, held: int | None) -> wire.Upload:
    state = wire.Upload(ticket.id, ticket.pack, ticket.size, held or 0, "open")
    if held is None:
        return wire.Upload(ticket.id, ticket.pack, ticket.size, ticket.size, "there")
    return state


def _range(text: str, ticket: Ticket) -> tuple[int, int]:
    found = _CONTENT_RANGE.fullmatch(text)
    if found is None:
        raise UsageError(f"{text[:80]!r} is no Content-Range", hint="bytes FIRST-LAST/SIZE")
    first, last = int(found.group(1)), int(found.group(2))
    if found.group(3) not in ("*", str(ticket.size)) or not first <= last < ticket.size:
        raise UsageError(f"{text!r} does not lie in a pack of {ticket.size:,} bytes")
    return first, last
