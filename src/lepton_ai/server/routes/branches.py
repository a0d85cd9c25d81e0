"""Branches."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from lepton_ai.errors import UsageError
from lepton_ai.history import states
from lepton_ai.history.lines import Branch
from lepton_ai.history.record import timestamp
from lepton_ai.repository import ModelRepository
from lepton_ai.server import cursors
from lepton_ai.server.asked import WHERE, Reading, Writing
from lepton_ai.server.bodies import Sent, Told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.etags import IfMatch, IfNoneMatch, unchanged
from lepton_ai.server.expecting import expecting, tag_of
from lepton_ai.server.name_shapes import Branches, BranchLine, ChangeBranch, Gone, NewBranch
from lepton_ai.server.shapes import shaped

router = APIRouter(prefix=WHERE, tags=["branches"])

Name = Annotated[str, Path(description="The branch", examples=["main"])]


@router.get("/branches", summary="Branches by name")
def list_branches(
    asked: Reading,
    deleted: Annotated[bool, Query(description="Deleted ones too")] = False,
    after: Cursor = None,
    limit: Limit = 100,
) -> Told[Branches]:
    """With what each stands on. ``next`` continues."""
    with asked.at_once():
        names = asked.names
        found: list[Branch] = []
        place = cursors.decode(after, str) or "branch/"
        while len(found) <= limit:
            refs = names.home.history.scan("branch/", after=place, limit=limit + 1)
            if not refs:
                break
            place = refs[-1].key
            read = (
                Branch(r.key.removeprefix("branch/"), r, states.decode(states.BranchState, r)) for r in refs
            )
            found += [line for line in read if deleted or line.state.deleted is None]
        more = cursors.encode(found[limit - 1].ref.key) if len(found) > limit else None
        return shaped(Branches, {"branches": _lines(names, found[:limit]), "next": more})


@router.post("/branches", summary="Start a branch", status_code=201)
def create_branch(asked: Writing, body: Sent[NewBranch]) -> Told[BranchLine]:
    """From a version, a branch, or the newest of main."""
    asked.allow("write", f"branch/{body.name}")
    with asked.changing() as names:
        made = names.create_branch(body.name, body.base, exist_ok=body.exist_ok)
        return _told(names, made.name, 201)


@router.get("/branches/{branch:path}", summary="A branch")
def show_branch(asked: Reading, branch: Name, if_none_match: IfNoneMatch = None) -> Told[BranchLine]:
    """Deleted ones too."""
    with asked.at_once():
        names = asked.names
        same = unchanged(if_none_match, tag_of(names.lines.branch(branch, deleted=True).ref) or "")
        return same or _told(names, branch)  # type: ignore[return-value]  # 304 has no body


@router.patch("/branches/{branch:path}", summary="Rename or restore a branch")
def change_branch(
    asked: Writing, branch: Name, body: Sent[ChangeBranch], if_match: IfMatch = None
) -> Told[BranchLine]:
    """``name`` calls it otherwise; ``deleted`` false brings it back with the versions that went with it."""
    asked.allow("write", f"branch/{branch}")
    if (body.name is None) == (body.deleted is None) or body.deleted:
        raise UsageError("a branch is renamed or restored", hint='send {"name": …} or {"deleted": false}')
    if body.name is not None:
        asked.allow("write", f"branch/{body.name}")
    with asked.changing() as names:
        bound = expecting(names, f"branch/{branch}", if_match, f"branch {branch!r}")
        if body.name is not None:
            return _told(names, bound.rename_branch(branch, body.name).name)
        return _told(names, bound.restore_branch(branch).name)


@router.delete("/branches/{branch:path}", summary="Delete a branch")
def delete_branch(
    asked: Writing,
    branch: Name,
    why: Annotated[str, Query(max_length=10_000, description="The reason, for the log")] = "",
    if_match: IfMatch = None,
) -> Told[Gone]:
    """Merged versions stay; the others go with it, and can be restored with it."""
    asked.allow("write", f"branch/{branch}")
    with asked.changing() as names:
        bound = expecting(names, f"branch/{branch}", if_match, f"branch {branch!r}")
        return shaped(Gone, {"deleted": branch, "versions": bound.delete_branch(branch, why=why)})


def _told(names: ModelRepository, name: str, status: int = 200) -> BranchLine:
    line = names.lines.branch(name, deleted=True)
    return shaped(
        BranchLine,
        _lines(names, [line])[0],
        status,
        {"ETag": tag_of(line.ref) or ""},
    )


def _lines(names: ModelRepository, found: list[Branch]) -> list[dict[str, Any]]:
    rows = names.home.history.versions([line.head for line in found if line.head])
    waiting = {merge.branch: merge.said for merge in names.merges_in_progress()}
    return [
        {
            "name": line.name,
            "head": {"name": rows[line.head].name, "id": line.head.hex()} if line.head else None,
            "created_at": timestamp(line.state.created_at),
            "created_by": line.state.created_by,
            "status": "Active" if line.state.deleted is None else "Deleted",
            "merge": waiting.get(line.name),
            "etag": tag_of(line.ref),
        }
        for line in found
    ]
