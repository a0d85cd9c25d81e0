"""What a file holds besides its tensors' elements and what follows from them (checksums, times)."""

from __future__ import annotations

import hashlib
import posixpath
import zipfile
from bisect import bisect_left
from collections.abc import Iterator

from lepton_ai.formats.contract import Source
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.source_file import opened
from lepton_ai.types import FileEntry

LARGEST = 64 << 20
"""Bytes besides tensors that are compared; nobody's header is as large."""

_CHECKED = {"hdf5"}
"""Formats with checksums or times of their own among the rest: it cannot be told what changed by itself."""

_FOLLOWING = {"metadata.json", "serialization_id"}
"""Members that follow from when a file was written (Keras), or from the others (PyTorch)."""


def rest(side: Side, entry: FileEntry | None) -> object:
    """A value that is equal for files that differ in their tensors alone; None where that cannot be told."""
    if entry is None:
        return None
    manifest = side.manifests[entry.path]
    if manifest.format == "savedmodel":  # its index has checksums; what else there is lies in the program
        return program(side, entry.path)
    source = side.source(entry.path)
    holes = sorted(
        (extent.offset, extent.length)
        for tensor in manifest.tensors
        for extent in tensor.extents
        if not extent.path
    )
    if source.read(0, min(4, source.size)) == b"PK\x03\x04":
        return tuple(sorted(_members(source, holes)))
    if manifest.format in _CHECKED or source.size - sum(length for _, length in holes) > LARGEST:
        return None
    digest = hashlib.sha256()
    at = 0
    for offset, length in [*holes, (source.size, 0)]:
        if offset > at:
            digest.update(source.read(at, offset - at))
        at = max(at, offset + length)
    return digest.hexdigest()


def program(side: Side, index: str) -> str | None:
    """The digest of the program beside an index; None for a checkpoint, which has none."""
    place = posixpath.join(posixpath.dirname(posixpath.dirname(index)), "saved_model.pb")
    return side.files[place].sha256 if place in side.files else None


def _members(source: Source, holes: list[tuple[int, int]]) -> Iterator[tuple[str, int]]:
    """Names and checksums of the members of a zip that hold no tensors."""
    try:
        archive = zipfile.ZipFile(opened(source))
    except (zipfile.BadZipFile, ValueError):
        return
    infos = sorted(archive.infolist(), key=lambda info: info.header_offset)
    ends = [info.header_offset for info in infos[1:]] + [source.size]
    starts = [offset for offset, _ in holes]
    for info, end in zip(infos, ends, strict=True):
        first = bisect_left(starts, info.header_offset)
        holds = first < len(starts) and starts[first] < end
        if not holds and info.filename.rpartition("/")[2] not in _FOLLOWING:
            yield info.filename.partition("/")[2] or info.filename, info.CRC
