"""From a version's files back to bytes and tensors."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO

from lepton_ai.errors import Ambiguous, Damaged, IntegrityError, NotFound, StorageFailed, Unsupported
from lepton_ai.formats.contract import Extent, Malformed, Tensor
from lepton_ai.formats.encodings import decode as decode_tensor
from lepton_ai.history import manifest as manifests
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.record import text
from lepton_ai.history.refs.contract import ContentRow, Records
from lepton_ai.history.retold import retold
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import Content
from lepton_ai.store.reader import Near
from lepton_ai.store.store import Store
from lepton_ai.types import Attachment, FileEntry, TensorInfo

if TYPE_CHECKING:
    import numpy as np

_REPAIR = "run lepton verify, then restore from a backup"


class Reader:
    """Reads what versions carry; checks that it is exactly what was saved."""

    def __init__(self, records: Records, store: Store) -> None:
        self._records, self._store = records, store
        self._opened: Opened | None = None

    def rows(self, digests: Iterable[str]) -> dict[str, ContentRow]:
        """Where contents are, by hexadecimal SHA-256.

        Raises:
            Damaged: the history lacks one.
        """
        wanted = {bytes.fromhex(digest) for digest in digests if digest}
        found = self._records.contents(wanted)
        for digest in wanted:
            if digest not in found:
                raise Damaged(
                    f"nothing says where the content {digest.hex()[:12]} is",
                    hint="run lepton verify, then restore from a backup",
                )
        return {digest.hex(): row for digest, row in found.items()}

    def readable(self, digest: bytes) -> bool:
        """Whether a content can still be given back, as far as is known: something says where it is, and every block of
        it is there and was not found damaged.
        """
        row = self._records.contents([digest]).get(digest)
        if row is None or self._store.missing([row.manifest], sound=True):
            return False
        try:
            content = manifests.decode(self._store.get(row.manifest)).content
        except IntegrityError:
            return False
        return not self._store.missing((id_ for stream in content.streams for id_ in stream.ids), sound=True)

    def intact(self, digest: str, progress: Progress = SILENT) -> bool:
        """Whether a content can be given back. Advances ``progress``.

        Its seals are opened: what they hold was written by us, for this content. Where one of them does not open, all
        of it is read, decoded and compared: there may be another way to it.
        """
        try:
            manifest = self._manifest(digest)
            if manifest.sha256.hex() == digest and self._store.unharmed(manifest.content, progress):
                return True
            self._copy(digest, lambda _: None, progress, "it")
        except (IntegrityError, StorageFailed):
            return False
        return True

    def manifests(self, entries: Iterable[FileEntry]) -> dict[str, Manifest]:
        """The manifest of every file, by path."""
        files = [entry for entry in entries if entry.target is None]
        rows = self.rows(entry.sha256 for entry in files)
        return self._decoded(files, {entry.path: rows[entry.sha256].manifest for entry in files})

    def copy(
        self, entry: FileEntry, sink: BinaryIO, progress: Progress = SILENT, *, near: Near | None = None
    ) -> None:
        """Write a file's bytes to ``sink``. ``near``: where some of its blocks, or their bases, may be had cheaper.

        Raises:
            Damaged: they are not the bytes that were saved.
        """
        self._copy(entry.sha256, sink.write, progress, entry.path, near)

    def content(self, digest: str) -> Content:
        """Which blocks a content is made of.

        Raises:
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        return self._manifest(digest).content

    def attachment(self, attachment: Attachment) -> bytes:
        """A larger thing that was kept beside a record."""
        manifest = self._manifest(attachment.sha256)
        data = self._store.read(manifest.content, 0, manifest.content.size)
        if hashlib.sha256(data).hexdigest() != attachment.sha256:
            raise Damaged(
                f"the attachment {attachment.sha256[:12]} is not what was saved", hint="run lepton verify"
            )
        return data

    def tensor_infos(self, entries: Iterable[FileEntry]) -> list[TensorInfo]:
        """Every tensor of the files, told without reading data; without those whose bytes the files lack."""
        opened = self.opened(entries)
        return [
            TensorInfo(tensor.name, path, tensor.dtype, tensor.shape, tensor.nbytes)
            for path, manifest in opened.manifests.items()
            for tensor in manifest.tensors
            if not opened.lack(path, tensor)
        ]

    def tensor(self, entries: Iterable[FileEntry], name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """One tensor as numpy array; reads only its own blocks and their bases.

        ``name`` may be written ``file:name`` when several files have it.

        Raises:
            NotFound, Ambiguous, Damaged.
            Unsupported: it is written in a way that cannot be decoded here, or in a file that was saved without it.
        """
        opened = self.opened(entries)
        path, tensor = _pick(name, opened.named(text(name, "the tensor's name")))
        if lack := opened.lack(path, tensor):
            raise Unsupported(
                f"tensor {name!r} of {path} {lack}",
                hint="it was saved like that: take another version, or save it with that file complete",
            )
        parts = [
            self.read(opened.manifests[place_of(path, extent)].content, extent.offset, extent.length)
            for extent in tensor.extents
        ]
        return decoded(path, tensor, parts)

    def read(self, content: Content, offset: int, length: int) -> bytes:
        """``length`` bytes of a file from ``offset``; opens only the blocks (and bases) that cover them.

        Raises:
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        return self._store.read(content, offset, length)

    def blocks(self, ids: Iterable[bytes]) -> dict[bytes, bytes | memoryview]:
        """Blocks by their ids, read together: what one of them is a difference to is decoded once.

        Raises:
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        return self._store.blocks(ids)

    def opened(self, entries: Iterable[FileEntry]) -> Opened:
        """The files, ready to be asked for tensors. The last ones are kept: whoever asks for one asks for more."""
        files = [entry for entry in entries if entry.target is None]
        rows = self.rows(entry.sha256 for entry in files)
        places = {entry.path: rows[entry.sha256].manifest for entry in files}
        opened = self._opened
        if opened is None or opened.places != places:
            found = retold(self._decoded(files, places), self.read)
            self._opened = opened = Opened(places, found)
        return opened

    def _decoded(self, files: list[FileEntry], places: dict[str, bytes]) -> dict[str, Manifest]:
        """The manifests at ``places``; each must be that of its file, as far as it says so."""
        by_id = {id_: manifests.decode(self._store.get(id_)) for id_ in dict.fromkeys(places.values())}
        for entry in files:
            if by_id[places[entry.path]].sha256.hex() not in ("", entry.sha256):
                raise Damaged(f"{entry.path} is not what was saved", hint=_REPAIR)
        return {path: by_id[id_] for path, id_ in places.items()}

    def _manifest(self, digest: str) -> Manifest:
        return manifests.decode(self._store.get(self.rows([digest])[digest].manifest))

    def _copy(
        self,
        digest: str,
        sink: Callable[[bytes | memoryview], object],
        progress: Progress,
        what: str,
        near: Near | None = None,
    ) -> None:
        manifest = self._manifest(digest)
        checksum = hashlib.sha256()

        def write(data: bytes | memoryview) -> None:
            checksum.update(data)
            sink(data)

        # Every block is checked against its id. That these are the blocks of this file says the sealed manifest; one of
        # before does not name its file, and the bytes have to tell.
        if not manifest.sha256:
            self._store.copy(manifest.content, write, progress, near=near)
        elif manifest.sha256.hex() == digest:
            self._store.copy(manifest.content, sink, progress, near=near)
        if (manifest.sha256.hex() or checksum.hexdigest()) != digest:
            raise Damaged(f"{what} is not what was saved", hint=_REPAIR)


def decoded(path: str, tensor: Tensor, parts: Sequence[bytes]) -> np.ndarray[Any, np.dtype[Any]]:
    """A tensor of the file ``path`` out of the bytes of its extents.

    Raises:
        Unsupported: it is written in a way that cannot be decoded here.
    """
    try:
        return decode_tensor(tensor, parts)
    except Malformed as problem:
        raise Unsupported(
            f"tensor {tensor.name!r} of {path} cannot be decoded: {problem}",
            hint="check the file out and use its framework",
        ) from problem


class Opened:
    """Files by path: ``places`` are the ids of their manifests, ``manifests`` what these say."""

    def __init__(self, places: dict[str, bytes], found: dict[str, Manifest]) -> None:
        self.places, self.manifests = places, found

    def named(self, name: str) -> list[tuple[str, Tensor]]:
        """Path and tensor of all that ``name`` or ``file:name`` may mean; if some have their bytes, only those."""
        found = list(self._names.get(name, ()))
        for path in self.manifests:
            if name.startswith(f"{path}:"):
                found += [at for at in self._names.get(name[len(path) + 1 :], ()) if at[0] == path]
        return [at for at in found if not self.lack(*at)] or found

    def lack(self, path: str, tensor: Tensor) -> str:
        """What keeps a tensor of the file ``path`` from being read; empty: nothing does.

        Versions share what is told of a file; the neighbours that it describes are each version's own.
        """
        for extent in tensor.extents:
            place = place_of(path, extent)
            if place not in self.manifests:
                return f"lies in {place}, which the version lacks"
            size, end = self.manifests[place].content.size, extent.offset + extent.length
            if end > size:
                return f"ends at byte {end} of {place}, which has only {size}"
        return ""

    @cached_property
    def _names(self) -> dict[str, list[tuple[str, Tensor]]]:
        names: dict[str, list[tuple[str, Tensor]]] = {}
        for path, manifest in self.manifests.items():
            for tensor in manifest.tensors:
                names.setdefault(tensor.name, []).append((path, tensor))
        return names


def place_of(path: str, extent: Extent) -> str:
    """The path in the version of the file that an extent of a tensor of the file ``path`` lies in."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(path), extent.path)) if extent.path else path


def _pick(name: str, candidates: list[tuple[str, Tensor]]) -> tuple[str, Tensor]:
    if not candidates:
        raise NotFound(f"the version has no tensor {name!r}", hint="lepton tensors lists them")
    if len(candidates) > 1:
        files = ", ".join(sorted(path for path, _ in candidates))
        raise Ambiguous(
            f"several files have a tensor {name!r}: {files}", hint=f"write {candidates[0][0]}:{name}"
        )
    return candidates[0]
