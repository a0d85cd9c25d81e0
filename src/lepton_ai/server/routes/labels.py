"""Tags, which stay, and aliases, which move and remember what they meant."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.history import graph
from lepton_ai.history.changes.labels import Kind, target
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import Ref, VersionRow
from lepton_ai.repository import ModelRepository
from lepton_ai.server import cursors
from lepton_ai.server.asked import DONE, WHERE, Asked, Reading, Writing
from lepton_ai.server.bodies import Sent, Told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.etags import IfMatch, IfNoneMatch, unchanged
from lepton_ai.server.expecting import expecting, tag_of
from lepton_ai.server.name_shapes import LabelLine, Labels, Meaning, Meanings, Meant, SetLabel
from lepton_ai.server.shapes import shaped
from lepton_ai.types import LogLine

router = APIRouter(prefix=WHERE, tags=["tags and aliases"])

Tag = Annotated[str, Path(description="The tag", examples=["paper"])]
Alias = Annotated[str, Path(description="The alias", examples=["production"])]
At = Annotated[
    str | None, Query(description="What it meant then (RFC 3339)", examples=["2026-05-03T14:05:00Z"])
]


@router.get("/tags", summary="Tags by name")
def list_tags(asked: Reading, after: Cursor = None, limit: Limit = 100) -> Told[Labels]:
    """With what they mean. ``next`` continues."""
    with asked.at_once():
        return _page(asked, "tag", after, limit)


@router.get("/aliases", summary="Aliases by name")
def list_aliases(asked: Reading, after: Cursor = None, limit: Limit = 100) -> Told[Labels]:
    """With what they mean now. ``next`` continues."""
    with asked.at_once():
        return _page(asked, "alias", after, limit)


@router.get("/tags/{tag:path}", summary="What a tag means")
def show_tag(asked: Reading, tag: Tag, if_none_match: IfNoneMatch = None) -> Told[LabelLine]:
    """A tag never moves."""
    with asked.at_once():
        return _shown(asked, "tag", tag, if_none_match)


@router.put("/tags/{tag:path}", summary="Tag a version", status_code=201)
def set_tag(asked: Writing, tag: Tag, body: Sent[SetLabel]) -> Told[LabelLine]:
    """A branch stands for its newest version. 409 ``already-exists`` when there is such a tag."""
    asked.allow("write", f"tag/{tag}")
    with asked.changing() as names:
        names.tag(tag, body.version, message=body.message)
        return _told(names, _ref(names, "tag", tag), 201)


@router.delete("/tags/{tag:path}", summary="Remove a tag", status_code=204, responses=DONE)
def remove_tag(asked: Writing, tag: Tag, if_match: IfMatch = None) -> Response:
    """The version stays."""
    asked.allow("write", f"tag/{tag}")
    with asked.changing() as names:
        expecting(names, f"tag/{tag}", if_match, f"tag {tag!r}").remove_tag(tag)
    return Response(status_code=204)


@router.get("/aliases/{alias:path}", summary="What an alias means")
def show_alias(asked: Reading, alias: Alias, if_none_match: IfNoneMatch = None) -> Told[LabelLine]:
    """Now; what it meant at another time, ``alias-meanings`` says."""
    with asked.at_once():
        return _shown(asked, "alias", alias, if_none_match)


@router.put("/aliases/{alias:path}", summary="Let an alias mean a version")
def set_alias(
    asked: Writing, alias: Alias, body: Sent[SetLabel], if_match: IfMatch = None
) -> Told[LabelLine]:
    """From now on; what it meant before is kept."""
    key = f"alias/{alias}"
    asked.allow("write", key)
    with asked.changing() as names:
        bound = expecting(names, key, if_match, f"alias {alias!r}")
        bound.set_alias(alias, body.version, message=body.message)
        return _told(names, _ref(names, "alias", alias))


@router.delete(
    "/aliases/{alias:path}",
    summary="Remove an alias",
    status_code=204,
    responses=DONE,
)
def remove_alias(asked: Writing, alias: Alias, if_match: IfMatch = None) -> Response:
    """What it meant stays known."""
    asked.allow("write", f"alias/{alias}")
    with asked.changing() as names:
        expecting(names, f"alias/{alias}", if_match, f"alias {alias!r}").remove_alias(alias)
    return Response(status_code=204)


@router.get("/alias-meanings/{alias:path}", summary="What an alias meant, and when")
def meanings(asked: Reading, alias: Alias, at: At = None) -> Told[Meanings]:
    """All of it, newest first; with ``at`` what it meant then: "who was production at 14:05 on 3 May"."""
    then, key = None if at is None else _moment(at), f"alias/{alias}"
    with asked.at_once():
        names = asked.names
        moves = [line for line in names.log(key) if line.ref == key]
        if not moves:
            raise NotFound(f"there never was an alias {alias!r}", hint="GET …/aliases lists them")
        if then is not None:
            moves = [line for line in moves if datetime.fromisoformat(line.at) <= then][:1]
            if not moves or moves[0].after is None:
                raise NotFound(f"alias {alias!r} meant nothing at {at}", hint="ask without a time")
        rows = names.home.history.versions([bytes.fromhex(line.after) for line in moves if line.after])
    return shaped(Meanings, {"name": alias, "meanings": [_meaning(rows, line) for line in moves]})


def _page(asked: Asked, kind: Kind, after: str | None, limit: int) -> Labels:
    names, place = asked.names, cursors.decode(after, str) or ""
    refs = names.home.history.scan(f"{kind}/", after=place, limit=limit + 1)
    more = cursors.encode(refs[limit - 1].key) if len(refs) > limit else None
    return shaped(Labels, {"labels": _lines(names, refs[:limit]), "next": more})


def _shown(asked: Asked, kind: Kind, name: str, if_none_match: str | None) -> LabelLine:
    names = asked.names
    ref = _ref(names, kind, name)
    return unchanged(if_none_match, tag_of(ref) or "") or _told(names, ref)  # type: ignore[return-value]


def _told(names: ModelRepository, ref: Ref, status: int = 200) -> LabelLine:
    return shaped(LabelLine, _lines(names, [ref])[0], status, {"ETag": tag_of(ref) or ""})


def _ref(names: ModelRepository, kind: Kind, name: str) -> Ref:
    key = f"{kind}/{name}"
    ref = names.home.history.get([key]).get(key)
    if ref is None:
        raise NotFound(
            f"there is no {kind} {name!r}", hint=f"GET …/{kind}{'e' * (kind == 'alias')}s lists them"
        )
    return ref


def _lines(names: ModelRepository, refs: list[Ref]) -> list[dict[str, Any]]:
    """Labels as they are told; one question for the versions of all."""
    rows = names.home.history.versions([target(ref) for ref in refs])
    return [
        {"name": ref.key.partition("/")[2], "version": _meant(rows, target(ref)), "etag": tag_of(ref)}
        for ref in refs
    ]


def _meaning(rows: Mapping[bytes, VersionRow], line: LogLine) -> Meaning:
    meant = _meant(rows, bytes.fromhex(line.after)) if line.after else None
    return Meaning(line.at, line.actor, line.why, meant)


def _meant(rows: Mapping[bytes, VersionRow], id_: bytes) -> Meant:
    row = graph.there(rows, id_)
    record = parse_record(row.record, row.id)
    return Meant(record.name, row.id.hex(), record.branch, row.revision)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text.replace(" ", "+"))  # a + that was not encoded
    except ValueError:
        raise UsageError(f"{text[:80]!r} is no time", hint="write it as 2026-05-03T14:05:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
