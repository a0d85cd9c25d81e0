"""Versions of before, told as today: variables that only had a number in an export of Keras have their names."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from msgspec.structs import replace

from lepton_ai.formats.contract import check_range
from lepton_ai.history.manifest import Manifest
from lepton_ai.later import Later
from lepton_ai.store.contract import Content

if TYPE_CHECKING:
    from lepton_ai.formats import detect, object_graph
else:  # every reader: hardly anybody's versions need one
    detect, object_graph = Later("lepton_ai.formats.detect"), Later("lepton_ai.formats.object_graph")

Read = Callable[[Content, int, int], bytes]


def retold(found: Mapping[str, Manifest], read: Read) -> dict[str, Manifest]:
    """The manifests by path; those that number variables tell of them as their reader does now.

    Few have such numbers: of the others nothing is read.
    """
    return {path: _again(path, manifest, found, read) for path, manifest in found.items()}


def _again(path: str, manifest: Manifest, found: Mapping[str, Manifest], read: Read) -> Manifest:
    if manifest.format != "savedmodel":
        return manifest
    if not any(object_graph.NUMBERED.fullmatch(tensor.name) for tensor in manifest.tensors):
        return manifest
    base = posixpath.dirname(path)
    beside = {extent.path for tensor in manifest.tensors for extent in tensor.extents}
    places = [path, *(posixpath.join(base, name) for name in beside)]
    folder = {place: _Kept(found[place].content, read) for place in places if place in found}
    layout = detect.layouts(folder, only=[path])[path]
    same = {one.extents for one in layout.tensors} == {one.extents for one in manifest.tensors}
    return replace(manifest, tensors=layout.tensors) if same else manifest


class _Kept:
    """A file in the store as a Source."""

    def __init__(self, content: Content, read: Read) -> None:
        self._content, self._read = content, read

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._content.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        return self._read(self._content, offset, length)
