"""HDF5: ``.h5``, ``.hdf5``, Keras' ``.weights.h5``, and any file that begins like one.

Tensors are called by their paths without the leading slash: ``layers/dense/vars/0``. Strings, compounds, and
datasets whose bytes lie elsewhere stay opaque. Contiguous datasets are one run of raw elements, chunked ones
a run per chunk; see :mod:`lepton_ai.formats.encodings.chunked`.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from lepton_ai.formats.checks import clean_name
from lepton_ai.formats.contract import Extent, Layout, Malformed, Segment, Source, Tensor, partition
from lepton_ai.formats.encodings.chunked import DEFLATE_MOST
from lepton_ai.formats.hdf5_file.superblock import place_of
from lepton_ai.later import Later

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lepton_ai.formats.hdf5_file import walk as walking
    from lepton_ai.formats.hdf5_file.datasets import Dataset
else:
    walking = Later("lepton_ai.formats.hdf5_file.walk")

MOST_DECODED = 256 << 20
MOST_LETTERS, MOST_TOLD = 4 << 20, 50_000


class HDF5:
    """The reader of HDF5 files."""

    name = "hdf5"

    def claims(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the signature decides, whatever the suffix)
        """Whether the head holds the HDF5 signature."""
        return place_of(head) is not None

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .h5 or .hdf5."""
        return path.lower().endswith((".h5", ".hdf5"))

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002
        """Where the datasets' bytes sit."""
        segments, tensors = read_window(source)
        return Layout(self.name, partition(source.size, segments), tensors)


def read_window(
    source: Source, offset: int = 0, prefix: str = ""
) -> tuple[list[Segment], tuple[Tensor, ...]]:
    """Segments and tensors of the HDF5 file ``source``, which starts at ``offset`` of a larger file.

    ``prefix`` is put before every name.
    """
    found = [
        walking.Found([clean_name(prefix + name) for name in names], dataset)
        for names, dataset, _ in walking.walk(source)
    ]
    _check_names(found, source.size)
    taken = {name for item in found for name in item.names}
    segments: list[Segment] = []
    tensors = []
    for names, dataset, _ in found:
        runs = [(start + offset, length) for start, length in dataset.runs]
        hint = dataset.element.hint if dataset.plain else "bytes"
        labels = _labels(names[0], taken)
        segments += [Segment(start, length, next(labels), hint) for start, length in runs]
        extents = tuple(Extent(start, length) for start, length in runs)
        tensors += [_tensor(name, dataset, extents) for name in names]
    return segments, tuple(sorted(tensors, key=lambda tensor: tensor.name))


def _tensor(name: str, dataset: Dataset, extents: tuple[Extent, ...]) -> Tensor:
    return Tensor(name, dataset.element.name, dataset.shape, extents, dataset.encoding, dataset.args)


def _labels(name: str, taken: set[str]) -> Iterator[str]:
    """``name``, ``name#1``, ``name#2`` …, without what is another dataset's name."""
    yield name
    yield from (label for k in itertools.count(1) if (label := f"{name}#{k}") not in taken)


def _check_names(found: list[walking.Found], size: int) -> None:
    """Refuse double names, and links that would make one small dataset into endless gigabytes.

    Every run of a dataset has a name, and is told again for each of the dataset's names.
    """
    names = [name for item in found for name in item.names]
    if len(set(names)) != len(names):
        raise Malformed("two datasets have the same name")
    decoded = sum(len(item.names) * item.dataset.nbytes for item in found)
    if decoded > MOST_DECODED + DEFLATE_MOST * size:
        raise Malformed(f"{size} bytes that claim to hold {decoded}")
    letters = sum(len(item.names[0]) * len(item.dataset.runs) for item in found)
    told = sum(len(item.names) * len(item.dataset.runs) for item in found)
    if letters > MOST_LETTERS + 16 * size or told > MOST_TOLD + size // 32:
        raise Malformed("more names of more chunks than the file can account for")


FORMAT = HDF5()
