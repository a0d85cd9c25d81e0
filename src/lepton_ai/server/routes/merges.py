"""Merging weights: foretold, made, left for people to decide, decided, ended."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Path, Query
from starlette.responses import Response

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.handles import Version
from lepton_ai.history.merging.report import Preview
from lepton_ai.repository import ModelRepository
from lepton_ai.server.arriving import arrived
from lepton_ai.server.asked import DONE, WHERE, Asked, Reading, Writing
from lepton_ai.server.bodies import Sent, Told
from lepton_ai.server.etags import IfMatch
from lepton_ai.server.expecting import expecting, tag_of
from lepton_ai.server.merge_shapes import (
    Decide,
    MarkedText,
    Merge,
    Merged,
    MergeInProgress,
    Pick,
    Resolved,
    asked_of,
)
from lepton_ai.server.shapes import Made, NewFile, shaped
from lepton_ai.server.worded import answer, worded
from lepton_ai.telling import merges
from lepton_ai.telling.versions import version_json
from lepton_ai.unfinished import UnfinishedMerge

router = APIRouter(prefix=WHERE, tags=["merges"])

MergePreview = worded(Preview, "MergePreview")
Into = Annotated[str, Path(description="The branch that is merged into", examples=["main"])]


@router.post("/merge-previews", summary="What a merge would do", response_model=answer(MergePreview))
def preview(asked: Reading, body: Sent[Merge]) -> Any:
    """Nothing is changed."""
    repository = asked.repository
    found = repository.preview_merge(
        _sources(repository, body), body.into, fast_forward=body.fast_forward, **asked_of(body)
    )
    return shaped(MergePreview, found)


@router.post("/merges", summary="Merge a branch or several versions into a branch", status_code=201)
def merge(asked: Writing, body: Sent[Merge], if_match: IfMatch = None) -> Told[Merged]:
    """409 ``diverged`` when something conflicts that nothing was said about; with ``on_conflict`` "stop" the merge then
    waits for decisions. ``version`` is null when there was nothing new. If-Match: the ETag of ``into``.
    """
    key = f"branch/{body.into}"
    asked.allow("write", key)
    repository = expecting(asked.repository, key, if_match, f"branch {body.into!r}")
    source = _sources(repository, body)
    if isinstance(source, str):
        done = repository.merge_branch(
            source, body.into, message=body.message, fast_forward=body.fast_forward, **asked_of(body)
        )
    else:
        done = repository.merge_versions(source, body.into, message=body.message, **asked_of(body))
    told = None if done is None else _made(repository, done)
    return shaped(Merged, {"version": told}, 201 if done else 200)


@router.get("/merges", summary="Merges that wait for decisions")
def list_merges(asked: Reading) -> Told[list[MergeInProgress]]:
    """By the name of their branch."""
    return shaped(list[MergeInProgress], [_told(one) for one in asked.names.merges_in_progress()])


@router.get("/merges/{branch:path}", summary="A merge that waits for decisions")
def show_merge(asked: Reading, branch: Into) -> Told[MergeInProgress]:
    """Its conflicts, and who decided what."""
    tag = _tag(asked.names, branch)
    return shaped(MergeInProgress, _told(_merge(asked.names, branch)), headers=tag)


@router.get("/merge-texts/{branch:path}", summary="A file in which both sides changed the same lines")
def text(
    asked: Reading, branch: Into, file: Annotated[str, Query(description="Its path")]
) -> Told[MarkedText]:
    """With both of them between conflict markers; edited, it decides the conflict."""
    data = _merge(asked.repository, branch).text(file)
    return shaped(MarkedText, {"name": file, "text": data.decode("utf-8", "replace")})


@router.patch("/merges/{branch:path}", summary="Decide conflicts")
def decide(asked: Writing, branch: Into, body: Sent[Decide], if_match: IfMatch = None) -> Told[Resolved]:
    """One way for a conflict, or for all open ones whose names fit a glob. Everybody sees who decided what, and why."""
    asked.allow("write", f"merge/{branch}")
    repository = expecting(asked.repository, f"merge/{branch}", if_match, f"the merge into {branch!r}")
    under = _merge(repository, branch)
    if sum(map(bool, (body.take, body.method, body.file))) != 1:
        raise UsageError("a conflict is decided in one way", hint="send one of take, method and file")
    if body.file is None:
        names = under.resolve(
            body.target, body.take, method=body.method, why=body.why, again=body.again, force=body.force
        )
    else:
        names = _given(asked, under, body)
    tag = _tag(repository, branch)
    return shaped(Resolved, {"resolved": names, **_told(under)}, headers=tag)


@router.post("/merges/{branch:path}", summary="Finish a merge whose conflicts are decided", status_code=201)
def finish(
    asked: Writing,
    branch: Into,
    message: Annotated[str, Query(max_length=10_000)] = "",
    if_match: IfMatch = None,
) -> Told[Made]:
    """Makes the version. 409 ``diverged`` while something is open."""
    asked.allow("write", f"branch/{branch}")
    repository = expecting(asked.repository, f"merge/{branch}", if_match, f"the merge into {branch!r}")
    made = _merge(repository, branch).finish(message=message)
    return shaped(Made, _made(repository, made), 201)


@router.delete(
    "/merges/{branch:path}",
    summary="Give a merge up",
    status_code=204,
    responses=DONE,
)
def abort(
    asked: Writing, branch: Into, why: Annotated[str, Query(max_length=10_000)] = "", if_match: IfMatch = None
) -> Response:
    """The branch was never touched."""
    asked.allow("write", f"merge/{branch}")
    names = expecting(asked.names, f"merge/{branch}", if_match, f"the merge into {branch!r}")
    _merge(names, branch).abort(why=why)
    return Response(status_code=204)


@router.post("/cherry-picks", summary="Take one version's change over to a branch", status_code=201)
def cherry_pick(asked: Writing, body: Sent[Pick], if_match: IfMatch = None) -> Told[Made]:
    """As its next version."""
    repository = _bound(asked, body, if_match)
    version = repository.version(body.version, body.branch)
    made = repository.cherry_pick(version, body.branch, message=body.message, **asked_of(body))
    return shaped(Made, _made(repository, made), 201)


@router.post("/reverts", summary="Take one version's change back", status_code=201)
def revert(asked: Writing, body: Sent[Pick], if_match: IfMatch = None) -> Told[Made]:
    """Also in the middle of a branch; what came later stays."""
    repository = _bound(asked, body, if_match)
    version = repository.version(body.version, body.branch)
    made = repository.revert(version, body.branch, message=body.message, **asked_of(body))
    return shaped(Made, _made(repository, made), 201)


def _bound(asked: Asked, body: Pick, if_match: str | None) -> ModelRepository:
    key = f"branch/{body.branch}"
    asked.allow("write", key)
    return expecting(asked.repository, key, if_match, f"branch {body.branch!r}")


def _sources(repository: ModelRepository, body: Merge) -> str | list[Version]:
    """The branch, or the versions, that are to be merged."""
    if not body.sources:
        raise UsageError("nothing is named to be merged", hint='"sources": ["feature"]')
    if len(body.sources) == 1:
        name = body.sources[0]
        try:
            return repository.branch(name).name
        except NotFound as missing:
            try:
                return [repository.version(name, body.into)]
            except NotFound:
                raise missing from None
    return [repository.version(address, body.into) for address in body.sources]


def _given(asked: Asked, under: UnfinishedMerge, body: Decide) -> list[str]:
    file = body.file
    assert file is not None  # noqa: S101  (whoever calls looked)
    with arrived(asked, [NewFile(file.path, file.content, file.upload)]) as folder:
        place = folder / file.path
        return under.resolve(body.target, file=place, why=body.why, again=body.again, force=body.force)


def _merge(repository: ModelRepository, branch: str) -> UnfinishedMerge:
    return repository.merge_in_progress(branch)


def _tag(repository: ModelRepository, branch: str) -> dict[str, str]:
    """The header for If-Match; read before what it stands for, so that it is never too young."""
    key = f"merge/{branch}"
    tag = tag_of(repository.home.history.get([key]).get(key))
    return {"ETag": tag} if tag else {}


def _told(under: UnfinishedMerge) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(merges.told(under))
    return told


def _made(repository: ModelRepository, made: Version) -> dict[str, Any]:
    return version_json(repository.info(made)) | {
        "id": made.id,
        "new_bytes": made.new_bytes or 0,
        "notes": list(made.notes),
    }
