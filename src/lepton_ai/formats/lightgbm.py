"""LightGBM's text models: lines of ``key=numbers``, tree after tree.

The lists of a tree are tensors, ``tree.0.leaf_value``; the file stays one opaque run, being text.

Source: https://github.com/lightgbm-org/LightGBM/blob/master/src/boosting/gbdt_model_text.cpp, …/src/io/tree.cpp
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lepton_ai.formats.contract import Extent, Layout, Malformed, Tensor, partition
from lepton_ai.formats.names import Names

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lepton_ai.formats.contract import Format, Source

MAGIC = re.compile(rb"tree\nversion=v[0-9]+\n")

TYPES = {
    **dict.fromkeys((b"split_gain", b"threshold", b"leaf_value", b"leaf_weight"), "float64"),
    **dict.fromkeys((b"internal_value", b"internal_weight", b"leaf_const", b"leaf_coeff"), "float64"),
    **dict.fromkeys((b"split_feature", b"left_child", b"right_child", b"leaf_count"), "int32"),
    **dict.fromkeys((b"internal_count", b"cat_boundaries", b"num_features", b"leaf_features"), "int32"),
    b"decision_type": "int8",
    b"cat_threshold": "uint32",
}

TREE = re.compile(rb"Tree=([0-9]{1,9})")
LIST = re.compile(rb"([a-z_]+)=([-+0-9.eEnaNifIty ]*)")
NUMBER = re.compile(rb"[^ ]++")
END = b"end of trees"

PIECE = 262_144
LONGEST_LINE = 1 << 24
MOST_LINES = 4_000_000


class LightGBM:
    """The reader of LightGBM's text models."""

    name = "lightgbm"

    def claims(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (LightGBM asks for no suffix)
        """By the first two lines."""
        return bool(MAGIC.match(head))

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (one file)
        """Where the lists of the trees are."""
        if not MAGIC.match(source.read(0, min(64, source.size))):
            raise Malformed("it does not begin like a model")
        tree, names = b"", Names(source.size)
        tensors: list[Tensor] = []
        for offset, line in _lines(source):
            if line == END:
                return Layout(self.name, partition(source.size, ()), tuple(tensors))
            if begun := TREE.fullmatch(line):
                tree = begun[1]
            elif tree and (found := LIST.fullmatch(line)) and found[1] in TYPES:
                name = names.unique(f"tree.{tree.decode()}.{found[1].decode()}")
                tensors.append(_tensor(name, TYPES[found[1]], offset + found.start(2), found[2]))
        raise Malformed("the end of the trees is missing")


def _tensor(name: str, dtype: str, offset: int, text: bytes) -> Tensor:
    count = sum(1 for _ in NUMBER.finditer(text))
    return Tensor(name, dtype, (count,), (Extent(offset, len(text)),), "text")


def _lines(source: Source) -> Iterator[tuple[int, bytes]]:
    """Every line without its end, and where it begins."""
    start, rest, count = 0, b"", 0
    while start + len(rest) < source.size:
        at = start + len(rest)
        piece = rest + source.read(at, min(max(PIECE, len(rest)), source.size - at))
        begin = 0
        while (end := piece.find(b"\n", begin)) >= 0:
            yield start + begin, piece[begin:end]
            begin, count = end + 1, count + 1
        rest, start = piece[begin:], start + begin
        if len(rest) > LONGEST_LINE or count > MOST_LINES:
            raise Malformed(f"more or longer lines than a model has, at byte {start}")
    yield start, rest


FORMAT: Format = LightGBM()
