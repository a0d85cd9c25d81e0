"""From a version's files back to bytes and tensors."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO

from lepton_ai.errors import Ambiguous, Damaged, NotFound, Unsupported
from lepton_ai.formats.contract import Extent, Malformed, Tensor
from lepton_ai.formats.encodings import decode as decode_tensor
from lepton_ai.history import manifest as manifests
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.refs.contract import ContentRow, Records
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.store import Store
from lepton_ai.types import Attachment, FileEntry, TensorInfo

if TYPE_CHECKING:
    import numpy as np


class Reader:
    """Reads what versions carry; checks that it is exactly what was saved."""

    def __init__(self, records: Records, store: Store) -> None:
        self._records, self._store = records, store

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

    def manifests(self, entries: Iterable[FileEntry]) -> dict[str, Manifest]:
        """The manifest of every file, by path."""
        files = [entry for entry in entries if entry.target is None]
        rows = self.rows(entry.sha256 for entry in files)
        by_digest = {digest: manifests.decode(self._store.get(row.manifest)) for digest, row in rows.items()}
        return {entry.path: by_digest[entry.sha256] for entry in files}

    def copy(self, entry: FileEntry, sink: BinaryIO, progress: Progress = SILENT) -> None:
        """Write a file's bytes to ``sink``.

        Raises:
            Damaged: they are not the bytes that were saved.
        """
        self._copy(entry.sha256, sink, progress, entry.path)

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
        """Every tensor of the files, told without reading data."""
        return [
            TensorInfo(tensor.name, path, tensor.dtype, tensor.shape, tensor.nbytes)
            for path, manifest in self.manifests(entries).items()
            for tensor in manifest.tensors
        ]

    def tensor(self, entries: Iterable[FileEntry], name: str) -> np.ndarray[Any, np.dtype[Any]]:
        """One tensor as numpy array; reads only its own blocks and their bases.

        ``name`` may be written ``file:name`` when several files have it.

        Raises:
            NotFound, Ambiguous, Damaged.
            Unsupported: it is written in a way that cannot be decoded here.
        """
        everything = self.manifests(entries)
        path, tensor = _pick(name, _named(everything, name))
        parts = [self._extent(everything, path, extent) for extent in tensor.extents]
        try:
            return decode_tensor(tensor, parts)
        except Malformed as problem:
            raise Unsupported(
                f"tensor {name!r} of {path} cannot be decoded: {problem}",
                hint="check the file out and use its framework",
            ) from problem

    def _extent(self, everything: dict[str, Manifest], path: str, extent: Extent) -> bytes:
        place = (
            posixpath.normpath(posixpath.join(posixpath.dirname(path), extent.path)) if extent.path else path
        )
        if place not in everything:
            raise Damaged(f"{path} needs {place}, which the version lacks", hint="run lepton verify")
        return self._store.read(everything[place].content, extent.offset, extent.length)

    def _manifest(self, digest: str) -> Manifest:
        return manifests.decode(self._store.get(self.rows([digest])[digest].manifest))

    def _copy(self, digest: str, sink: BinaryIO, progress: Progress, what: str) -> None:
        manifest = self._manifest(digest)
        checksum = hashlib.sha256()

        def write(data: bytes) -> None:
            checksum.update(data)
            sink.write(data)

        self._store.copy(manifest.content, write, progress)
        if checksum.hexdigest() != digest:
            raise Damaged(
                f"{what} is not what was saved", hint="run lepton verify, then restore from a backup"
            )


def _named(everything: dict[str, Manifest], name: str) -> Iterator[tuple[str, Tensor]]:
    for path, manifest in everything.items():
        for tensor in manifest.tensors:
            if name in (tensor.name, f"{path}:{tensor.name}"):
                yield path, tensor


def _pick(name: str, found: Iterable[tuple[str, Tensor]]) -> tuple[str, Tensor]:
    candidates = list(found)
    if not candidates:
        raise NotFound(f"the version has no tensor {name!r}", hint="lepton tensors lists them")
    if len(candidates) > 1:
        files = ", ".join(sorted(path for path, _ in candidates))
        raise Ambiguous(
            f"several files have a tensor {name!r}: {files}", hint=f"write {candidates[0][0]}:{name}"
        )
    return candidates[0]
