"""Keras 3's ``.keras``: a stored zip of config.json, metadata.json and an HDF5 file of weights.

Tensors are called by their paths in ``model.weights.h5``: ``layers/dense/vars/0``. Should an archive hold
further HDF5 files, theirs begin with the member's name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Layout, Malformed, PartSource, Segment, Source, Tensor, partition
from lepton_ai.formats.hdf5 import read_window
from lepton_ai.formats.zip_members import STORED, Member, members

if TYPE_CHECKING:
    from collections.abc import Mapping

WEIGHTS = "model.weights.h5"
SUFFIX = ".h5"
MOST_FILES = 4
"""Keras writes one; each may ask for as much memory as a small file may."""


class Keras:
    """The reader of ``.keras`` files."""

    name = "keras"

    def claims(self, path: str, head: bytes) -> bool:
        """Whether it is called ``.keras`` and begins like a zip archive."""
        return path.lower().endswith(".keras") and head.startswith(b"PK\x03\x04")

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .keras."""
        return path.lower().endswith(".keras")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (the contract's)
        """Where the weights' bytes sit."""
        files = [member for member in members(source) if member.name.endswith(SUFFIX)]
        if not files:
            raise Malformed("no file of weights in it")
        if len(files) > MOST_FILES:
            raise Malformed(f"{len(files)} files of weights in it")
        segments: list[Segment] = []
        tensors: list[Tensor] = []
        for member in files:
            more, found = _weights(source, member)
            segments += more
            tensors += found
        if len({tensor.name for tensor in tensors}) != len(tensors):
            raise Malformed("two tensors have the same name")
        return Layout(self.name, partition(source.size, segments), tuple(tensors))


def _weights(source: Source, member: Member) -> tuple[list[Segment], tuple[Tensor, ...]]:
    if member.method != STORED:
        raise Malformed(f"{member.name!r} is compressed")
    prefix = "" if member.name == WEIGHTS else f"{member.name}/"
    return read_window(PartSource(source, member.offset, member.packed), member.offset, prefix)


FORMAT = Keras()
