"""Blobs in a bucket (S3, Google Cloud Storage, Azure), or in memory by the same library: obstore."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import obstore
from obstore import exceptions

from lepton_ai.errors import Damaged, LeptonError, NoSpace, NotFound, StorageFailed
from lepton_ai.store.blobs.reasons import NO_CREDENTIALS, reason
from lepton_ai.store.contract import BlobInfo, Refused
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.pipeline import portions

if TYPE_CHECKING:
    from obstore import ObjectMeta
    from obstore.store import ObjectStore

IN_ONE_PIECE = 8 << 20
"""Bytes up to which a blob is sent in one request, which can ask that there is none yet; larger ones go in parts."""

_DENIED = {
    "AccessDenied",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "status 401",
    "status 403",
}

_PARTS_AT_ONCE = 4
_DELETED_AT_ONCE = 1000


class ObjectBlobs:
    """Blobs below ``prefix`` in ``store``; ``place`` is what error messages call it.

    An object appears as a whole or not at all, and is durable when the store says so. Small ones are created only
    where there is none; a large one that two send at the same moment is written twice, with the same bytes.
    """

    def __init__(self, store: ObjectStore, place: str, prefix: str = "", suffixes: bool = True) -> None:
        """``suffixes``: the store can be asked for the last bytes of an object."""
        self.store, self.place = store, place
        self._prefix = f"{prefix}/" if prefix else ""
        self._suffixes = suffixes

    def path(self, name: str) -> str:
        """The key of ``name`` in the bucket."""
        parts = PurePosixPath(name).parts
        if not parts or "/".join(parts) != name or any(part.startswith(".") for part in parts):
            raise StorageFailed(f"{name!r} is no name of a blob")
        return self._prefix + name

    @contextmanager
    def asking(self, name: str = "") -> Iterator[None]:
        """Turn the library's errors into ours. Its texts are not shown: they may hold signed addresses."""
        place = f"{self.place}/{name}".rstrip("/")
        try:
            yield
        except LeptonError:
            raise
        except (OSError, ValueError, exceptions.BaseError) as error:
            raise _translated(error, place, self.place) from None

    def put(self, name: str, source: Path) -> None:
        """Take the file ``source`` over."""
        path = self.path(name)
        with storage_errors(source):
            size = source.stat().st_size
        if self._find(path, name) is None:
            self._send(path, name, source, size)
        with storage_errors(source):
            source.unlink()

    def _send(self, path: str, name: str, source: Path, size: int) -> None:
        try:
            with self.asking(name), source.open("rb") as file:
                if size <= IN_ONE_PIECE:
                    obstore.put(self.store, path, file.read(), mode="create", use_multipart=False)
                else:
                    options: dict[str, Any] = {"chunk_size": IN_ONE_PIECE, "max_concurrency": _PARTS_AT_ONCE}
                    obstore.put(self.store, path, file, use_multipart=True, **options)
        except _Exists:
            return
        except Refused:
            raise
        except (StorageFailed, NotFound) as error:
            # Who loses a race, or the answer to a first try, may be told anything. What counts is what is there.
            found = self._find(path, name)
            if found is None or found["size"] != size:
                raise StorageFailed(
                    f"{self.place}/{name}: the upload did not come to its end: {error.message}"
                ) from None
            return
        found = self._find(path, name)
        if found is None or found["size"] != size:
            self.delete([name])  # or the next one who brings it would be told that it is there
            raise StorageFailed(f"{self.place}/{name}: the store kept something else than it was given")

    def _find(self, path: str, name: str) -> ObjectMeta | None:
        with self.asking(name), suppress(NotFound), self.asking(name):
            return obstore.head(self.store, path)
        return None

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end."""
        path = self.path(name)
        if length == 0 or (offset < 0 and not self._suffixes):
            size = self.info(name).size
            offset = offset if offset >= 0 else size + offset
            if offset < 0 or offset + length > size:
                raise self._cut(name, offset, length)
            if length == 0:
                return b""
        try:
            with self.asking(name):
                if offset < 0:
                    tail = obstore.get(self.store, path, options={"range": {"suffix": -offset}}).bytes()
                    data = tail.to_bytes()[:length] if len(tail) == -offset else b""
                else:
                    data = obstore.get_range(self.store, path, start=offset, length=length).to_bytes()
        except Refused:
            raise
        except StorageFailed:
            size = self.info(name).size  # stores refuse a range beyond the end each in their own way
            if length > size - offset if offset >= 0 else -offset > size:
                raise self._cut(name, offset, length) from None
            raise
        if len(data) != length:
            raise self._cut(name, offset, length)
        return data

    def _cut(self, name: str, offset: int, length: int) -> Damaged:
        return Damaged(f"{self.place}/{name} is cut: {length} bytes at {offset} are not all there.")

    def info(self, name: str) -> BlobInfo:
        """Size and time of a blob."""
        with self.asking(name):
            return _info(obstore.head(self.store, self.path(name)), name)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every blob whose name starts with ``prefix``, asked for in pages."""
        folder = self._prefix + prefix.rpartition("/")[0]  # stores list by whole parts of a path
        cut = len(self._prefix)
        with self.asking(prefix):
            for page in obstore.list(self.store, folder.strip("/") or None):
                for meta in page:
                    name = meta["path"][cut:]
                    if name.startswith(prefix):
                        yield _info(meta, name)

    def delete(self, names: Iterable[str]) -> None:
        """Remove blobs."""
        for some in portions((self.path(name) for name in names), len, sys.maxsize, _DELETED_AT_ONCE):
            try:
                with self.asking():
                    obstore.delete(self.store, some)
            except NotFound:  # some stores stop at the first that is gone
                for path in some:
                    with suppress(NotFound), self.asking():
                        obstore.delete(self.store, path)


class _Exists(StorageFailed):
    """There is a blob of that name already."""


def _info(meta: ObjectMeta, name: str) -> BlobInfo:
    # A listing may tell fractions of a second that a question for one object does not.
    return BlobInfo(name, meta["size"], float(int(meta["last_modified"].timestamp())))


def _translated(error: Exception, blob: str, place: str) -> LeptonError:  # noqa: PLR0911  (one for each reaction)
    text, why = str(error), reason(str(error))
    code = re.search(r"<Code>(\w{1,64})</Code>", text)
    status = re.search(r"status(?: code)?:? (\d{3})\b", text)
    said = code.group(1) if code else f"status {status.group(1)}" if status else ""
    told = f" ({said})" if said else ""
    if said in ("NoSuchBucket", "ContainerNotFound") or "NoSuchBucket" in text:
        return Refused(f"There is no bucket at {place}.", hint="make it first, or correct the address")
    if isinstance(error, FileNotFoundError):
        return NotFound(f"There is no {blob}.")
    if isinstance(error, exceptions.AlreadyExistsError):
        return _Exists(f"There is a {blob} already.")
    if why == NO_CREDENTIALS:
        return Refused(f"{place}: {why}", hint="set what docs/deployment.md names for this kind of store")
    denied = (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)
    if isinstance(error, denied) or said in _DENIED:
        return Refused(
            f"{blob}: the object store does not let us in{told}",
            hint="check the credentials in the environment and what they may do",
        )
    if said in ("QuotaExceeded", "XMinioStorageFull", "status 507"):
        return NoSpace(f"No space left in {place}.", hint="free some space or raise its quota, and repeat")
    failed = f"is not reached: {why}" if why and not said else f"failed{told}"
    return StorageFailed(f"{blob}: the object store {failed}", hint="is it running and can it be reached?")
