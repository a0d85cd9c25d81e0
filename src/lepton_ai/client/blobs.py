"""Packs on a server: brought in parts that go on where a cut connection left off, read by ranges, a little ahead."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai import wire
from lepton_ai.client import waiting
from lepton_ai.client.connection import Connection, Elsewhere
from lepton_ai.client.listed import Listed, Listing
from lepton_ai.client.pieces import Pieces
from lepton_ai.client.reaching import Unreached
from lepton_ai.client.windows import Windows
from lepton_ai.errors import Damaged, LostRace, NotFound, StorageFailed, Unsupported, UsageError
from lepton_ai.store.contract import BlobInfo, Piece
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.packs.format import HEAD_SIZE, blob_name, pack_name
from lepton_ai.store.pipeline import Pool

if TYPE_CHECKING:
    from urllib3.response import BaseHTTPResponse

AHEAD = 32 << 10
"""Bytes that are read at least: what is asked for next is probably near."""
ALONE = 64 << 10
"""Bytes of a pack that is read at once, whatever is wanted of it, and of a portion that is kept."""
AT_ONCE = 4
"""Parts that travel side by side to an object store, and deletions."""
_TOTAL = re.compile(r"bytes (?:\d+-\d+|\*)/(\d+)")


class HttpBlobs:
    """The packs of the repository at ``path`` of a server. Thread-safe.

    ``told`` is called with the bytes of every portion that has been brought, ``known`` remembers the list of packs.
    Other blobs than packs a server has not.
    """

    def __init__(
        self,
        connection: Connection,
        path: str,
        told: Callable[[int], None] | None = None,
        known: Listed | None = None,
    ) -> None:
        self._connection, self._path = connection, path
        self._listing = Listing(connection, path, known)
        self.told: Callable[[int], None] = told or (lambda _: None)
        self._direct, self._windows = True, Windows()
        self._pieces = Pieces(connection, path)
        self._times: dict[str, float] = {}
        self._sizes: dict[str, int] = {}

    def put(self, name: str, source: Path) -> None:
        """Bring the pack in the file ``source``; it is durable there when this returns, and then ``source`` is gone.

        Bytes that the server has from an earlier try are not sent again.

        Raises:
            NoSpace, StorageFailed, Unsupported: it is no pack. Everything that a server says.
        """
        pack = _pack(name)
        with storage_errors(source):
            size = source.stat().st_size
        failures = 0
        while True:
            upload: wire.Upload = self._connection.call(
                "POST", f"{self._path}/uploads", wire.NewUpload(pack, size), wire.Upload, repeat=True
            )
            if upload.state == "there":
                break
            try:
                etags = self._bring(upload, source)
                if etags is not None:
                    self._finish(upload, etags)
            except (Unreached, LostRace, Elsewhere) as problem:
                failures += 1
                silent = isinstance(problem, Unreached) and problem.silent
                if waiting.enough(failures, silent=silent) or (
                    isinstance(problem, Elsewhere) and failures > 1
                ):
                    raise
                time.sleep(waiting.pause(failures))
                continue
            break
        source.unlink(missing_ok=True)

    def get(self, name: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; a negative offset counts from the end.

        Raises:
            NotFound: there is no such pack. Damaged: it is shorter than that. StorageFailed.
        """
        pack = _pack(name)
        if not length or offset < 0:
            size = self._sizes.get(pack) or self.info(name).size
            start = offset if offset >= 0 else size + offset
            if start < 0 or start + length > size:
                raise _cut(name, length, offset)
            return self.get(name, start, length) if length else b""
        window = self._windows.find(name, offset, length)
        if window is not None:
            return window
        size = self._sizes.get(pack, ALONE + 1)
        start, amount = (
            (0, size) if size <= ALONE else (offset, max(length, AHEAD if offset >= HEAD_SIZE else 0))
        )
        data = self._range(name, start, amount)
        if len(data) <= ALONE:
            self._windows.keep(name, start, data)
        wanted = data[offset - start : offset - start + length]
        if len(wanted) < length:
            raise _cut(name, length, offset)
        return wanted

    def bring_near(self, pieces: Iterable[Piece]) -> None:
        """Ask for many small pieces at once, so that none is asked for when it is read; as far as the server can."""
        wanted = (piece for piece in pieces if piece.length <= ALONE and self._windows.find(*piece) is None)
        for piece, data in self._pieces.brought(wanted):
            self._windows.keep(piece.blob, piece.offset, data)

    def stream(self, name: str, offset: int, length: int) -> Iterator[bytes]:
        """The bytes from ``offset`` in portions as they come; fewer when the connection breaks off.

        Raises:
            NotFound: there is no such pack. StorageFailed: nothing comes at all.
        """
        for start, end, known in self._windows.parts(name, offset, offset + length):
            came = 0
            for data in (known,) if known is not None else self._streamed(name, start, end):
                came += len(data)
                yield data
            if came < end - start:
                return

    def _streamed(self, name: str, start: int, end: int) -> Iterator[bytes]:
        answer = self._asked(name, f"bytes={start}-{end - 1}", stream=True)
        try:
            if answer.status == 200 and start:
                raise StorageFailed(f"{self._connection.server} does not answer ranges of {name}")
            left = end - start
            for data in self._connection.portions(answer):
                if left <= 0:
                    return  # more than was asked for is nothing to keep
                yield data[:left]
                left -= len(data)
        finally:
            answer.close()

    def info(self, name: str) -> BlobInfo:
        """Size and time of a pack.

        Raises:
            NotFound: there is no such pack.
        """
        answer = self._asked(name, "bytes=0-0", direct=False)  # of the time, the server's word counts
        told = _TOTAL.fullmatch(answer.headers.get("Content-Range", ""))
        size = int(told.group(1)) if told else len(answer.data)
        at = self._times.get(pack_name(name) or "")
        return BlobInfo(name, size, _time(answer.headers) if at is None else at)

    def list(self, prefix: str = "") -> Iterator[BlobInfo]:
        """Every pack whose name starts with ``prefix``."""
        if not ("packs/".startswith(prefix) or prefix.startswith("packs/")):
            return
        for pack in self._listing.packs():
            at = float(int(pack.written_at))  # whole seconds, as a header tells them
            self._times[pack.name], self._sizes[pack.name] = at, pack.size
            if blob_name(pack.name).startswith(prefix):
                yield BlobInfo(blob_name(pack.name), pack.size, at)

    def delete(self, names: Iterable[str]) -> None:
        """Remove packs, durably; those that are gone already are no error."""
        with Pool(AT_ONCE) as pool:
            list(pool.map(self._delete, [_pack(name) for name in names]))

    def _delete(self, pack: str) -> None:
        try:
            self._connection.call("DELETE", f"{self._path}/packs/{pack}")
        except NotFound:
            return

    def _bring(self, upload: wire.Upload, source: Path) -> tuple[str, ...] | None:
        """Send what the server does not have; the object store's receipts, if it went there. None: it is finished."""
        if upload.parts:
            with Pool(AT_ONCE) as pool:
                jobs = list(enumerate(upload.parts))
                return tuple(pool.map(lambda job: self._straight(upload, source, *job), jobs))
        held = upload.held
        if held == upload.size:
            return ()
        with source.open("rb") as file:
            while held < upload.size:
                file.seek(held)
                data = file.read(min(upload.part_size, upload.size - held))
                told = f"bytes {held}-{held + len(data) - 1}/{upload.size}"
                held += len(data)
                last = "?finish=true" if held == upload.size else ""
                path = f"{self._path}/uploads/{upload.id}{last}"
                answer = self._connection.send(
                    "PUT", path, data, headers={"Content-Range": told}, repeat=False, works=bool(last)
                )
                self.told(len(data))
                answer.close()
        return None

    def _straight(self, upload: wire.Upload, source: Path, number: int, url: str) -> str:
        """One part straight to the object store; its receipt."""
        with source.open("rb") as file:
            file.seek(number * upload.part_size)
            data = file.read(upload.part_size)
        answer = self._connection.elsewhere("PUT", url, data, headers={})
        self.told(len(data))
        return answer.headers.get("ETag", "")

    def _finish(self, upload: wire.Upload, etags: tuple[str, ...]) -> None:
        path = f"{self._path}/uploads/{upload.id}/finish"
        self._connection.call("POST", path, wire.Parts(etags), wire.Upload, repeat=True, works=True)

    def _range(self, name: str, offset: int, length: int) -> bytes:
        """Up to ``length`` bytes; a range that begins behind the end is empty."""
        try:
            answer = self._asked(name, f"bytes={offset}-{offset + length - 1}")
        except Unsatisfied:
            return b""
        return answer.data if answer.status == 206 else answer.data[offset : offset + length]

    def _asked(
        self, name: str, range_: str, *, stream: bool = False, direct: bool = True
    ) -> BaseHTTPResponse:
        """The answer to a request for a range of a pack, from the server or, if ``direct``, from where it sends us."""
        path = f"{self._path}/packs/{_pack(name)}"
        headers = {"Range": range_, "Accept-Encoding": "identity"}
        query = {"direct": "true"} if direct and self._direct else None
        answer = self._connection.send(
            "GET", path, headers=headers, accept=(307, 416), stream=stream, query=query
        )
        if answer.status == 307:
            url = answer.headers.get("Location", "")
            answer.close()
            try:
                answer = self._connection.elsewhere("GET", url, headers=headers, accept=(416,), stream=stream)
            except (Elsewhere, Unreached, UsageError):  # not to be reached from here: the server passes it on
                self._direct = False
                return self._asked(name, range_, stream=stream)
        if answer.status == 416:
            answer.close()
            raise Unsatisfied(f"{name} ends before {range_}")
        return answer


class Unsatisfied(Damaged):
    """A range begins behind the end of a pack."""


def _pack(name: str) -> str:
    """The pack that a blob's name means.

    Raises:
        Unsupported: it is none.
    """
    pack = pack_name(name)
    if pack is None:
        raise Unsupported(f"{name!r} is no pack, and a server keeps nothing else")
    return pack


def _time(headers: Mapping[str, str]) -> float:
    """When a pack was written; at the latest now, by the server's clock: too young is taken for still needed."""
    told = headers.get("Last-Modified") or headers.get("Date")
    return parsedate_to_datetime(told).timestamp() if told else time.time()


def _cut(name: str, length: int, offset: int) -> Damaged:
    return Damaged(f"{name} is cut: {length} bytes at {offset} are not all there.")
