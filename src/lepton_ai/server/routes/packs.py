"""Packs as they are stored: listed, read, and deleted by whoever keeps house."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Path, Query, Request
from starlette.responses import RedirectResponse, Response

from lepton_ai import wire
from lepton_ai.catalog import packs
from lepton_ai.errors import Damaged, InUse, NotFound, Unsupported, UsageError
from lepton_ai.server.asked import WHERE, Keeping, Reading
from lepton_ai.server.bodies import Form, Shape, Told, told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.ranges import ranged
from lepton_ai.server.raw_bodies import Raw, read, takes
from lepton_ai.store.contract import ID_SIZE, presigning
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.pipeline import Pool

router = APIRouter(prefix=WHERE, tags=["sync"])

VALID = 3600
"""Seconds for which a presigned address may be used."""
AT_ONCE = 8
"""Pieces that are read side by side: an object store lets one wait."""
PackName = Annotated[str, Path(description="64 hexadecimal digits", pattern=r"^[0-9a-f]{64}$")]
_NAME = re.compile(r"[0-9a-f]{64}")


@router.get("/packs", summary="The packs of a repository, oldest first")
def list_packs(asked: Reading, form: Shape, after: Cursor = None, limit: Limit = 1000) -> Told[wire.Packs]:
    """Names, sizes and times. ``next`` continues."""
    return told(packs.page(asked.here.catalog, asked.row.number, after, limit), form=form)


@router.get(
    "/packs/{pack}",
    summary="The bytes of a pack",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}, "description": "All of it"},
        206: {"content": {"application/octet-stream": {}}, "description": "The range that was asked for"},
        304: {"description": "You have it"},
        307: {"description": "To the object store, for those who ask with `direct`"},
    },
)
def get_pack(
    asked: Reading,
    pack: PackName,
    request: Request,
    direct: Annotated[bool, Query(description="Whether the object store can be reached")] = False,
) -> Response:
    """With ``Range``. What is in it is sealed, unless the repository is not encrypted."""
    found = packs.find(asked.here.catalog, asked.row.number, pack)
    blobs, name = asked.opened.blobs, blob_name(pack)
    address = _address(asked, name) if direct else None
    if address is not None:
        return RedirectResponse(address, 307, {"Cache-Control": "no-store"})
    return ranged(
        request, found.size, pack, lambda offset, length: blobs.get(name, offset, length),
        lasting=True, written_at=found.written_at,
    )  # fmt: skip


@router.post("/packs/pieces", summary="Pieces of several packs at once", openapi_extra=takes(wire.Pieces))
def get_pieces(asked: Reading, body: Raw) -> Told[wire.Brought]:
    """What whoever opens a repository for the first time wants of every pack, in one journey."""
    wanted = read(body, wire.Pieces).pieces
    if any(piece.offset < 0 or piece.length < 0 or not _NAME.fullmatch(piece.pack) for piece in wanted):
        raise UsageError("a piece is a pack (64 hexadecimal digits), an offset and a length in bytes")
    if len(wanted) > wire.MOST_PIECES or sum(piece.length for piece in wanted) > wire.PART_SIZE:
        raise UsageError(
            f"at most {wire.MOST_PIECES:,} pieces with {wire.PART_SIZE:,} bytes in one question",
            hint="ask for them in several",
        )
    sizes = packs.sizes(asked.here.catalog, asked.row.number, [piece.pack for piece in wanted])
    blobs = asked.opened.blobs

    def brought(piece: wire.Piece) -> bytes:
        if piece.offset + piece.length > sizes.get(piece.pack, 0):
            return b""
        try:
            return blobs.get(blob_name(piece.pack), piece.offset, piece.length)
        except (NotFound, Damaged):  # who asks for it alone is told what is wrong
            return b""

    with Pool(AT_ONCE) as pool:
        return told(wire.Brought(tuple(pool.map(brought, wanted))), form=Form(body.form.packed))


@router.delete(
    "/packs/{pack}",
    summary="Delete a condemned pack",
    status_code=204,
    responses={204: {"description": "It is gone, or was before"}},
)
def delete_pack(asked: Keeping, pack: PackName) -> Response:
    """For a collection of garbage by a client. The pack was condemned in the history. Administrators only."""
    key = f"condemned/{pack}"
    try:
        packs.find(asked.here.catalog, asked.row.number, pack)
    except NotFound:
        return Response(status_code=204)
    if key not in asked.here.homes.history(asked.row).get([key]):
        raise InUse(
            f"pack {pack[:16]}… is not condemned, so somebody may rely on it",
            hint="lepton gc condemns what can go",
        )
    opened = asked.opened
    opened.home.blobs.delete([blob_name(pack)])
    opened.shelf.forget([pack])
    return Response(status_code=204)


@router.post(
    "/objects/missing", summary="Which objects the server cannot read", openapi_extra=takes(wire.Ids)
)
def missing(asked: Reading, body: Raw) -> Told[wire.Ids]:
    """Of the ids given, those that are in no pack that stays, or whose bases are in none."""
    joined = read(body, wire.Ids).ids
    if len(joined) % ID_SIZE or len(joined) > wire.MOST_IDS * ID_SIZE:
        raise UsageError(
            f"ids are {ID_SIZE} bytes each, joined, and at most {wire.MOST_IDS:,} in one question"
        )
    ids = [joined[start : start + ID_SIZE] for start in range(0, len(joined), ID_SIZE)]
    condemned = asked.here.homes.history(asked.row).scan("condemned/")
    avoid = {ref.key.removeprefix("condemned/") for ref in condemned}
    lost = asked.opened.shelf.missing(ids, avoid)
    return told(wire.Ids(b"".join(id_ for id_ in ids if id_ in lost)), form=body.form)


def _address(asked: Reading, name: str) -> str | None:
    """A presigned address, where the store has such."""
    keeper = presigning(asked.here.homes.objects)
    if keeper is None:
        return None
    try:
        return keeper.presign_get(f"repositories/{asked.row.place}/{name}", VALID)
    except Unsupported:
        return None
