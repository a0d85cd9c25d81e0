"""What has been found in an ONNX model so far, in the model's file and in those beside it."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Layout, Segment, Tensor, partition
from lepton_ai.formats.encodings.dtypes import ITEMSIZE
from lepton_ai.formats.names import Names

if TYPE_CHECKING:
    from lepton_ai.formats.contract import Extent, Source


class Findings:
    """Tensors with names of their own, and the runs of bytes that are theirs."""

    def __init__(self, path: str, size: int, folder: Mapping[str, Source]) -> None:
        self._size = size
        self.names = Names(size)
        self.neighbours = _Neighbours(path, folder)
        self._tensors: list[Tensor] = []
        self._runs: dict[str, dict[tuple[int, int], Segment]] = {"": {}}

    def add(self, tensor: Tensor | None) -> None:
        """Take a tensor in; tensors that are the very same bytes share them."""
        if tensor is None:
            return
        self._tensors.append(tensor)
        hint = tensor.dtype if tensor.encoding == "raw" and "tag" not in tensor.args else "bytes"
        for extent in tensor.extents:
            self._run(extent, tensor.name, hint if hint in ITEMSIZE else "bytes")

    def _run(self, extent: Extent, name: str, hint: str) -> None:
        runs = self._runs.setdefault(extent.path, {})
        runs.setdefault((extent.offset, extent.length), Segment(extent.offset, extent.length, name, hint))

    def layout(self, name: str) -> Layout:
        """The finished answer.

        Raises:
            Malformed: bytes belong to two tensors in part.
        """
        own = partition(self._size, self._runs.pop("").values())
        companions = {
            path: partition(self.neighbours[path].size, runs.values()) for path, runs in self._runs.items()
        }
        return Layout(name, own, tuple(self._tensors), companions)


class _Neighbours(Mapping[str, "Source"]):
    """The other files at and below the model's folder, by path relative to it.

    They are looked up, not listed: a folder may hold thousands of models.
    """

    def __init__(self, path: str, folder: Mapping[str, Source]) -> None:
        base = posixpath.dirname(path)
        self._path, self._folder, self._prefix = path, folder, f"{base}/" if base else ""

    def __getitem__(self, path: str) -> Source:
        place = self._prefix + path
        if place == self._path:
            raise KeyError(path)
        return self._folder[place]

    def __iter__(self) -> Iterator[str]:
        others = (other for other in self._folder if other != self._path and other.startswith(self._prefix))
        return (other.removeprefix(self._prefix) for other in others)

    def __len__(self) -> int:
        return sum(1 for _ in self)
