"""What a store really does, found out by doing it: some take a condition along and ignore it, without a word."""

from __future__ import annotations

import secrets
import tempfile
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec
import obstore
import urllib3
from obstore import exceptions

from lepton_ai.errors import Damaged, NotFound, StorageFailed, Unsupported
from lepton_ai.store.blobs.bucket import ObjectBlobs
from lepton_ai.store.contract import Blobs, Presigning, presigning

FOLDER = "probe/"
"""What a probe writes is below this name, and removed by it, or by a later one if it is killed."""

_LEFT = 3600
_FIRST, _SECOND = b"the first to come", b"somebody else"
_SECONDS = 120

Ability: TypeAlias = Literal["create_if_absent", "compare_and_set", "range", "presign", "presign_parts"]

_WHY: dict[Ability, str] = {
    "create_if_absent": "It ignores the condition that there is nothing yet: one could overwrite what another wrote",
    "compare_and_set": "It ignores the condition that a value is still the old one: changes could be lost",
    "range": "It does not give parts of a blob: every small read would be a large one",
    "presign": "What it presigns cannot be fetched",
    "presign_parts": "It does not take presigned parts",
}


class Abilities(msgspec.Struct, frozen=True):
    """What a store was seen to do.

    ``create_if_absent``: the second to create the same blob is refused. ``compare_and_set``: so is who changes one that
    is not what he thinks. ``range``: any part of a blob. ``presign``: a presigned address was fetched, in part.
    ``presign_parts``: a blob came by presigned parts.
    """

    create_if_absent: bool
    compare_and_set: bool
    range: bool
    presign: bool
    presign_parts: bool


def probe(blobs: Blobs) -> Abilities:
    """Find out what ``blobs`` can do: about fifteen requests below ``probe/``.

    Raises:
        StorageFailed: the store does not even keep, list and delete a blob.
    """
    for info in list(blobs.list(FOLDER)):
        if info.written_at < time.time() - _LEFT:
            blobs.delete([info.name])
    folder = f"{FOLDER}{secrets.token_hex(8)}/"
    try:
        return Abilities(
            create_if_absent=_keeps_the_first(blobs, folder + "kept")
            and _creates_once(blobs, folder + "once"),
            compare_and_set=_compares(blobs, folder + "compared"),
            range=_gives_parts(blobs, folder + "kept"),
            presign=_presigns(blobs, folder + "kept"),
            presign_parts=_takes_parts(blobs, folder + "parts"),
        )
    finally:
        blobs.delete([info.name for info in blobs.list(folder)])


def require(place: str, abilities: Abilities, needs: Collection[Ability]) -> None:
    """Refuse a store that cannot do what is needed of it.

    Raises:
        Unsupported: it lacks one of ``needs``; says which and why that matters.
    """
    for need in needs:
        if not getattr(abilities, need):
            raise Unsupported(
                f"The object store at {place} will not do. {_WHY[need]}.",
                hint="use another store, or a newer release of this one",
            )


def _bring(blobs: Blobs, name: str, data: bytes) -> None:
    folder = getattr(blobs, "root", None)  # a local folder takes over files of its own file system
    if isinstance(folder, Path):
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".probe-") as aside:
        source = Path(aside) / "blob"
        source.write_bytes(data)
        blobs.put(name, source)


def _whole(blobs: Blobs, name: str) -> bytes:
    """All of a blob, from a store that may not know ranges."""
    bucket = _bucket(blobs)
    if bucket is None:
        return blobs.get(name, 0, blobs.info(name).size)
    with bucket.asking(name):
        return obstore.get(bucket.store, bucket.path(name)).bytes().to_bytes()


def _keeps_the_first(blobs: Blobs, name: str) -> bool:
    """The least that a store must do is checked along the way."""
    _bring(blobs, name, _FIRST)
    _bring(blobs, name, _SECOND)
    if [info.name for info in blobs.list(name)] != [name]:
        raise StorageFailed(f"A blob that was just written is not in the store's listing ({name})")
    return _whole(blobs, name) == _FIRST


def _creates_once(blobs: Blobs, name: str) -> bool:
    """Without a look before: the store itself has to refuse."""
    bucket = _bucket(blobs)
    if bucket is None:
        return True  # a folder or memory of our own
    with bucket.asking(name):
        obstore.put(bucket.store, bucket.path(name), _FIRST, mode="create", use_multipart=False)
    return (
        _refused(
            lambda: obstore.put(bucket.store, bucket.path(name), _SECOND, mode="create", use_multipart=False)
        )
        and _whole(blobs, name) == _FIRST
    )


def _compares(blobs: Blobs, name: str) -> bool:
    bucket = _bucket(blobs)
    if bucket is None:
        return False
    path = bucket.path(name)
    with bucket.asking(name):
        obstore.put(bucket.store, path, _FIRST, use_multipart=False)
        tag = obstore.head(bucket.store, path)["e_tag"]
    if not tag:
        return False

    def change(expected: str, data: bytes) -> None:
        obstore.put(bucket.store, path, data, mode={"e_tag": expected}, use_multipart=False)

    for known in (tag, tag.strip('"')):  # some stores want the tag without its quotation marks
        wrong = known.replace(tag.strip('"'), "0" * 32)
        if not _refused(lambda expected=wrong: change(expected, _SECOND)):  # type: ignore[misc]
            return False
        if not _refused(lambda expected=known: change(expected, _SECOND)):  # type: ignore[misc]
            return _whole(blobs, name) == _SECOND
    return False


def _refused(act: Callable[[], object]) -> bool:
    try:
        act()
    except (exceptions.BaseError, OSError, ValueError):
        return True
    return False


def _gives_parts(blobs: Blobs, name: str) -> bool:
    try:
        return blobs.get(name, 4, 5) == _FIRST[4:9] and blobs.get(name, -4, 4) == _FIRST[-4:]
    except (Damaged, StorageFailed):
        return False


def _presigns(blobs: Blobs, name: str) -> bool:
    keeper = presigning(blobs)
    if keeper is None:
        return False
    try:
        address = keeper.presign_get(name, _SECONDS)
        answer = _fetch("GET", address, headers={"Range": "bytes=4-8"})
    except (Unsupported, urllib3.exceptions.HTTPError):
        return False
    return answer.status == 206 and answer.data == _FIRST[4:9]


def _takes_parts(blobs: Blobs, name: str) -> bool:
    keeper = presigning(blobs)
    if keeper is None:
        return False
    try:
        upload = keeper.presign_parts(name, 1, _SECONDS)
    except (Unsupported, StorageFailed, NotFound):
        return False
    return _brings_parts(keeper, name, upload.upload, upload.addresses[0]) and (_whole(blobs, name) == _FIRST)


def _brings_parts(keeper: Presigning, name: str, upload: str, address: str) -> bool:
    try:
        answer = _fetch("PUT", address, body=_FIRST)
        if answer.status == 200:
            keeper.finish_parts(name, upload, [answer.headers["ETag"]])
            return True
    except (StorageFailed, NotFound, KeyError, urllib3.exceptions.HTTPError):
        pass  # the answer is no
    keeper.abandon_parts(name, upload)
    return False


def _fetch(method: str, address: str, **options: object) -> urllib3.BaseHTTPResponse:
    with urllib3.PoolManager(retries=urllib3.Retry(2, redirect=0), timeout=20) as pool:
        return pool.request(method, address, **options)  # type: ignore[arg-type]


def _bucket(blobs: Blobs) -> ObjectBlobs | None:
    keeper: object = blobs
    while keeper is not None and not isinstance(keeper, ObjectBlobs):
        keeper = getattr(keeper, "inner", None)
    return keeper
