"""Versions: listed, shown, made of files, updated, deleted, restored, rolled back to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from msgspec.structs import asdict
from starlette.responses import Response

from lepton_ai.errors import IntegrityError, LeptonError, UsageError
from lepton_ai.handles import Version
from lepton_ai.history.bundle import SUFFIX
from lepton_ai.history.changes import deletion
from lepton_ai.history.refs.contract import Ref
from lepton_ai.repository import ModelRepository
from lepton_ai.server import finding
from lepton_ai.server.arriving import arrived
from lepton_ai.server.asked import DONE, WHERE, Asked, Reading, Writing
from lepton_ai.server.bodies import Sent, Told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.etags import IfMatch, IfNoneMatch, unchanged
from lepton_ai.server.expecting import expecting
from lepton_ai.server.shapes import (
    Made,
    NewFile,
    NewImport,
    NewVersion,
    RevisionLine,
    Rollback,
    UpdateVersion,
    VersionFacts,
    Versions,
    shaped,
)
from lepton_ai.telling.versions import facts, version_json

router = APIRouter(prefix=WHERE, tags=["versions"])

Address = Annotated[
    str,
    Path(
        description="A name, name~revision, tag, alias, id or the beginning of one; what has a `/` goes by its id",
        examples=["v2"],
    ),
]
Branch = Annotated[
    str | None,
    Query(description="The branch on which a name like v2 is meant (default: main)", examples=["main"]),
]


@router.get("/versions", summary="Versions, filtered and ordered")
def list_versions(
    asked: Reading,
    where: Annotated[
        str, Query(description="The filter language", examples=["metrics.accuracy > 0.9 AND tag = 'paper'"])
    ] = "",
    order_by: Annotated[
        str, Query(description="Fields with ASC or DESC", examples=["metrics.loss, created DESC"])
    ] = "",
    branch: Annotated[
        str | None,
        Query(description="Only those that it has, as `lepton versions -b` lists them", examples=["main"]),
    ] = None,
    deleted: Annotated[bool, Query(description="Deleted ones too")] = False,
    after: Cursor = None,
    limit: Limit = 100,
) -> Told[Versions]:
    """The newest first, unless ``order_by`` says otherwise. ``next`` continues."""
    found = finding.page(asked, where, order_by, branch, deleted=deleted, after=after, limit=limit)
    return shaped(Versions, {"versions": [version_json(info) for info in found.versions], "next": found.next})


@router.post("/versions", summary="Make a version of files", status_code=201)
def create_version(asked: Writing, body: Sent[NewVersion]) -> Told[Made]:
    """The next of a branch. Larger files are brought before, as uploads."""
    asked.allow("write", f"branch/{body.branch}")
    repository = asked.repository
    with arrived(asked, body.files) as folder:
        made = repository.save_files(
            folder,
            body.branch,
            name=body.name,
            parent=body.parent,
            metrics=body.metrics,
            params=body.params,
            history=body.history,
            dataset=body.dataset,
            message=body.message,
        )
    return _made(repository, made, 201)


@router.post("/imports", summary="Take an exported version in", status_code=201)
def import_version(asked: Writing, body: Sent[NewImport]) -> Told[Made]:
    """As the next version of a branch, with its author, metrics, params and all else that it carried."""
    asked.allow("write", f"branch/{body.branch}")
    repository, file = asked.repository, NewFile(f"version{SUFFIX}", body.content, body.upload)
    with arrived(asked, [file]) as folder:
        bundle = folder / file.path
        try:
            made = repository.import_version(bundle, body.branch, name=body.name)
        except (IntegrityError, UsageError) as problem:  # what was sent is at fault, not what is kept here
            said = problem.message.replace(str(bundle), "what was sent")
            if said == problem.message and isinstance(problem, UsageError):
                raise
            raise UsageError(f"this cannot be taken in: {said}", hint=problem.hint) from problem
    return _made(repository, made, 201)


@router.post("/rollbacks", summary="Go back to what an older version carries", status_code=201)
def rollback(asked: Writing, body: Sent[Rollback], if_match: IfMatch = None) -> Told[Made]:
    """As a new version of the branch. If-Match: the branch's ETag."""
    key = f"branch/{body.branch}"
    asked.allow("write", key)
    repository = expecting(asked.repository, key, if_match, f"branch {body.branch!r}")
    return _made(repository, repository.rollback(body.version, body.branch, message=body.message), 201)


@router.get("/versions/{version}", summary="Everything that a version carries")
def show_version(
    asked: Reading,
    version: Address,
    branch: Branch = None,
    packages: Annotated[bool, Query(description="The Python packages that were installed, too")] = False,
    if_none_match: IfNoneMatch = None,
) -> Told[VersionFacts]:
    """Deleted ones too. ``notes`` say what could not be read: without the key, training curves and the like."""
    with asked.at_once():
        names, found = _found(asked, version, branch, deleted=True)
        tag = _tag(names, found)
        same = unchanged(if_none_match, tag)
        if same is not None:
            return same  # type: ignore[return-value]  # 304 has no body
        problems: list[LeptonError] = []
        told = facts(names, found, packages=packages, problems=problems)
    return shaped(VersionFacts, told, headers={"ETag": tag})


@router.patch("/versions/{version}", summary="Update, delete or restore a version")
def change_version(
    asked: Writing,
    version: Address,
    body: Sent[UpdateVersion],
    branch: Branch = None,
    if_match: IfMatch = None,
) -> Told[Made]:
    """An update is a new revision under the same name. ``deleted`` is for itself alone."""
    names, found = _found(asked, version, branch, deleted=True)
    asked.allow("write", _key(names, found))
    given = {
        name: value
        for name, value in asdict(body).items()
        if value is not None and name not in ("deleted", "files")
    }
    if body.deleted is not None:
        if given or body.files is not None:
            raise UsageError("a version is deleted or restored, or updated", hint="one after the other")
        bound = _bound(names, found, if_match)
        if body.deleted:
            bound.delete_version(found)
        else:
            bound.restore_version(bound.version(found.id, deleted=True))
        return _made(names, found)
    whole = _bound(asked.repository, found, if_match)
    return _made(whole, _updated(asked, whole, found.id, body, given))


@router.delete(
    "/versions/{version}",
    summary="Delete a version",
    status_code=204,
    responses=DONE,
)
def delete_version(
    asked: Writing,
    version: Address,
    branch: Branch = None,
    why: Annotated[str, Query(max_length=10_000, description="The reason, for the log")] = "",
    if_match: IfMatch = None,
) -> Response:
    """A tombstone; it can be restored until its bytes are collected after the grace period."""
    names = asked.names
    found = Version(names, deletion.meant(names.lines, version, branch or "main"))
    asked.allow("write", _key(names, found))
    _bound(names, found, if_match).delete_version(found, why=why)
    return Response(status_code=204)


@router.get("/versions/{version}/revisions", summary="All revisions of a version")
def revisions(asked: Reading, version: Address, branch: Branch = None) -> Told[list[RevisionLine]]:
    """The first one first."""
    with asked.at_once():
        names, found = _found(asked, version, branch, deleted=True)
        there = names.revisions(found)
    lines = [{"revision": r.revision, "id": r.id, "at": r.record.created_at} for r in there]
    return shaped(list[RevisionLine], lines)


def _found(
    asked: Asked, version: str, branch: str | None, *, deleted: bool = False
) -> tuple[ModelRepository, Version]:
    names = asked.names
    return names, names.version(version, branch or "main", deleted=deleted)


def _updated(
    asked: Asked, whole: ModelRepository, id_: str, body: UpdateVersion, given: dict[str, Any]
) -> Version:
    if body.files is None:
        return whole.update_version(id_, **given)
    with arrived(asked, body.files) as folder:
        return whole.update_version(id_, folder, **given)


def _key(names: ModelRepository, found: Version) -> str:
    return names.lines.version(bytes.fromhex(found.id)).key


def _tag(names: ModelRepository, found: Version) -> str:
    """Labels are part of what is shown of a version, and every one of them holds on to it in its state."""
    return _tag_of(found)(names.lines.version(bytes.fromhex(found.id)).ref) or ""


def _tag_of(found: Version) -> Callable[[Ref | None], str | None]:
    """From the state of a version to its ETag; an address may mean another version tomorrow, so its id is in it."""
    return lambda ref: f'"{found.id[:16]}-{ref.stamp}"' if ref else None


def _bound(names: ModelRepository, found: Version, if_match: str | None) -> ModelRepository:
    """The repository, whose changes only apply while the version is what the caller read."""
    return expecting(names, _key(names, found), if_match, f"version {found.name!r}", _tag_of(found))


def _made(repository: ModelRepository, made: Version, status: int = 200) -> Made:
    told = version_json(repository.info(made))
    told |= {"id": made.id, "new_bytes": made.new_bytes or 0, "notes": list(made.notes)}
    return shaped(Made, told, status, headers={"ETag": _tag(repository, made)})
