"""The calls of a repository's history, for clients that do the verbs themselves (decision 0018)."""

from __future__ import annotations

from typing import TypeVar

from fastapi import APIRouter
from starlette.responses import Response

from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.errors import UsageError
from lepton_ai.history.refs import calls
from lepton_ai.history.refs.contract import Commit, ContentRow, LogEntry, Ref, VersionRow
from lepton_ai.history.several import several as several_
from lepton_ai.server.access import allow
from lepton_ai.server.asked import WHERE, Asked, Reading, Writing
from lepton_ai.server.bodies import Told, told
from lepton_ai.server.raw_bodies import Raw, read, takes
from lepton_ai.server.receiving.commits import receive
from lepton_ai.server.receiving.moves import Sender

T = TypeVar("T")
router = APIRouter(prefix=f"{WHERE}/history", tags=["sync"])


@router.post("/get", summary="Refs by their keys", openapi_extra=takes(calls.Get))
def get(asked: Reading, body: Raw) -> Told[list[Ref]]:
    """The refs of ``keys`` that exist, in one snapshot."""
    keys = _at_most(read(body, calls.Get).keys)
    return told(list(_history(asked).get(keys).values()), form=body.form)


@router.post("/scan", summary="Refs by a prefix of their keys", openapi_extra=takes(calls.Scan))
def scan(asked: Reading, body: Raw) -> Told[list[Ref]]:
    """In key order. A full answer may have more behind it: ask again with ``after``."""
    call = read(body, calls.Scan)
    return told(_history(asked).scan(call.prefix, after=call.after, limit=_limit(call.limit)), form=body.form)


@router.post("/log", summary="Moves of refs, newest first", openapi_extra=takes(calls.Log))
def log(asked: Reading, body: Raw) -> Told[list[LogEntry]]:
    """Of refs whose key starts with ``prefix``; ``before`` continues."""
    call = read(body, calls.Log)
    return told(
        _history(asked).log(call.prefix, before=call.before, limit=_limit(call.limit)), form=body.form
    )


@router.post("/versions", summary="Versions by their ids", openapi_extra=takes(calls.Versions))
def versions(asked: Reading, body: Raw) -> Told[list[VersionRow]]:
    """Those that exist."""
    ids = _at_most(read(body, calls.Versions).ids)
    return told(list(_history(asked).versions(ids).values()), form=body.form)


@router.post("/revisions", summary="All revisions of versions", openapi_extra=takes(calls.Revisions))
def revisions(asked: Reading, body: Raw) -> Told[list[VersionRow]]:
    """By the ids of the first revisions; those of one version together, in order."""
    firsts = _at_most(read(body, calls.Revisions).firsts)
    return told([row for rows in _history(asked).revisions(firsts).values() for row in rows], form=body.form)


@router.post("/named", summary="Versions by their name", openapi_extra=takes(calls.Named))
def named(asked: Reading, body: Raw) -> Told[list[VersionRow]]:
    """First revisions, on any branch, oldest first."""
    return told(_history(asked).named(read(body, calls.Named).name), form=body.form)


@router.post("/find", summary="Ids by their beginning", openapi_extra=takes(calls.Find))
def find(asked: Reading, body: Raw) -> Told[list[bytes]]:
    """In order."""
    call = read(body, calls.Find)
    return told(_history(asked).find(call.prefix, limit=_limit(call.limit)), form=body.form)


@router.post("/page", summary="Versions, newest first", openapi_extra=takes(calls.Page))
def page(asked: Reading, body: Raw) -> Told[list[tuple[int, VersionRow]]]:
    """First revisions with their sequence numbers; ``before`` continues."""
    call = read(body, calls.Page)
    return told(_history(asked).page(before=call.before, limit=_limit(call.limit)), form=body.form)


@router.post("/contents", summary="Where files are", openapi_extra=takes(calls.Contents))
def contents(asked: Reading, body: Raw) -> Told[list[ContentRow]]:
    """Of the files with these SHA-256 digests, as far as they are kept."""
    digests = _at_most(read(body, calls.Contents).digests)
    return told(list(_history(asked).contents(digests).values()), form=body.form)


@router.post("/several", summary="Several questions at once", openapi_extra=takes(calls.Several))
def several(asked: Reading, body: Raw) -> Told[calls.Seen]:
    """What whoever pushes or pulls wants to know, in one journey."""
    call = read(body, calls.Several)
    for things in (call.keys, call.versions, call.contents):
        _at_most(things)
    if len(call.prefixes) > calls.MOST_PREFIXES:
        raise UsageError(
            f"{len(call.prefixes)} prefixes are asked for at once; {calls.MOST_PREFIXES} is the limit"
        )
    if call.above is not None:
        _at_most((*call.above.heads, *call.above.known))
    return told(several_(_history(asked), call), form=body.form)


@router.post(
    "/commit",
    summary="Apply a commit, wholly or not at all",
    openapi_extra=takes(Commit),
    status_code=204,
    responses={204: {"description": "It is applied, and durable"}},
)
def commit(asked: Writing, body: Raw) -> Response:
    """The server sets actor and time, and checks every row (decision 0018). 409 ``lost-race``: somebody was faster."""
    change = read(body, Commit)
    for move in change.moves:
        asked.allow("write", move.key)
    sender = Sender(asked.caller.user, keeps_house="admin" in asked.caller.scopes)
    if sender.keeps_house:
        allow(asked.caller, "admin", asked.row)
    receive(change, _history(asked), asked.opened.shelf, sender)
    return Response(status_code=204)


def _history(asked: Asked) -> CatalogHistory:
    history: CatalogHistory = asked.here.homes.history(asked.row)
    return history


def _limit(limit: int | None) -> int:
    return calls.MOST if limit is None else min(limit, calls.MOST)


def _at_most(things: tuple[T, ...]) -> tuple[T, ...]:
    if len(things) > calls.MOST:
        raise UsageError(f"{len(things):,} things are asked for at once; {calls.MOST:,} is the limit")
    return things
