"""The files of a version, byte for byte, and all of it as one file."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Path, Query, Request
from starlette.responses import FileResponse, Response

from lepton_ai.errors import NotFound
from lepton_ai.history.bundle import SUFFIX
from lepton_ai.server.asked import WHERE, Reading
from lepton_ai.server.bodies import Told
from lepton_ai.server.ranges import ranged
from lepton_ai.server.routes.versions import Address, Branch
from lepton_ai.server.shapes import shaped
from lepton_ai.types import FileEntry

router = APIRouter(prefix=WHERE, tags=["files"])

BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The bytes"},
    206: {"content": {"application/octet-stream": {}}, "description": "The range that was asked for"},
    304: {"description": "You have them"},
}


@router.get("/versions/{version}/files", summary="The files of a version")
def list_files(asked: Reading, version: Address, branch: Branch = None) -> Told[list[FileEntry]]:
    """By path, with their SHA-256."""
    with asked.at_once():
        return shaped(list[FileEntry], list(asked.names.version(version, branch or "main").files))


@router.get(
    "/versions/{version}/files/{path:path}", summary="A file", response_class=Response, responses=BYTES
)
def get_file(
    asked: Reading,
    version: Address,
    path: Annotated[str, Path(description="Its path in the version", examples=["model.safetensors"])],
    request: Request,
    branch: Branch = None,
) -> Response:
    """With ``Range``; its ETag is its SHA-256. Only the blocks that are asked for are read."""
    repository = asked.repository
    with asked.at_once():
        entries = {entry.path: entry for entry in repository.version(version, branch or "main").files}
    entry = entries.get(path)
    if entry is None or entry.target is not None:
        what = f"is a link to {entry.target!r}" if entry else "is not in it"
        raise NotFound(f"{path!r} {what}", hint="GET …/files lists what there is")
    content = repository.reader.manifests([entry])[path].content
    store = repository.home.store

    def read(offset: int, length: int) -> bytes:
        return store.read(content, offset, length)

    return ranged(request, entry.size, entry.sha256, read, named=path.rpartition("/")[2])


@router.get(
    "/versions/{version}/export",
    summary="All of a version in one file",
    response_class=Response,
    responses=BYTES,
)
def export(
    asked: Reading,
    version: Address,
    afterwards: BackgroundTasks,
    branch: Branch = None,
    named: Annotated[str, Query(max_length=200, description="What to call the download")] = "",
) -> Response:
    """For another repository (``lepton import``); in plain, also from an encrypted one."""
    repository = asked.repository
    found = repository.version(version, branch or "main")
    staged = repository.home.staged()
    folder = staged.__enter__()
    try:
        file = repository.export_version(found, folder / f"version{SUFFIX}")
    except BaseException:
        staged.__exit__(None, None, None)
        raise
    afterwards.add_task(staged.__exit__, None, None, None)
    return FileResponse(
        file,
        filename=(named or found.name) + SUFFIX,
        media_type="application/octet-stream",
        background=afterwards,
    )
