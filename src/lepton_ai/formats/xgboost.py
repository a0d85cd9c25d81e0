"""XGBoost's own model files: UBJSON (``.ubj`` and whatever else it is asked to write) and JSON.

The arrays of the trees are tensors, called by the way to them:
``learner.gradient_booster.model.trees.0.split_conditions``. In UBJSON they are raw and big-endian; those of 8 KiB
and more get segments of their own (most are far smaller, and a block of its own each would cost more than it
saves). In JSON they are text, and the file stays one opaque run.

Source: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lepton_ai.formats import json_arrays, ubjson
from lepton_ai.formats.contract import Extent, Layout, Malformed, Segment, Tensor, partition
from lepton_ai.formats.names import Names

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.formats.contract import Format, Source

UBJSON = re.compile(rb"\{(?:i|U|I\0|l\0{3}|L\0{7})\x07learner\{")
JSON = re.compile(rb'\s*\{\s*"learner"\s*:\s*\{')

ROOT = "learner"
SMALLEST_SEGMENT = 8192

TYPES = {
    **dict.fromkeys(("base_weights", "loss_changes", "split_conditions", "sum_hessian"), "float32"),
    **dict.fromkeys(("leaf_weights", "weights", "weight_drop"), "float32"),
    **dict.fromkeys(("left_children", "right_children", "parents", "split_indices"), "int32"),
    **dict.fromkeys(("categories", "categories_nodes", "tree_info", "iteration_indptr"), "int32"),
    **dict.fromkeys(("feature_segments", "sorted_idx"), "int32"),
    **dict.fromkeys(("categories_segments", "categories_sizes"), "int64"),
    **dict.fromkeys(("default_left", "split_type"), "uint8"),
}
"""Key → element type, for JSON, which does not say it; the same as in UBJSON."""


class XGBoost:
    """The reader of XGBoost's model files."""

    name = "xgboost"

    def claims(self, path: str, head: bytes) -> bool:
        """By the first key; JSON also by the suffix."""
        return bool(UBJSON.match(head)) or (path.lower().endswith(".json") and bool(JSON.match(head)))

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .ubj."""
        return path.lower().endswith(".ubj")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (one file)
        """Where the arrays of the trees are."""
        names = Names(source.size)
        binary = UBJSON.match(source.read(0, min(64, source.size)))
        tensors = _from_ubjson(source, names) if binary else _from_json(source, names)
        if not any(tensor.name.startswith(f"{ROOT}.gradient_booster.") for tensor in tensors):
            raise Malformed("it has no gradient booster")
        segments = [
            Segment(tensor.extents[0].offset, tensor.nbytes, tensor.name, tensor.dtype)
            for tensor in tensors
            if tensor.encoding == "raw" and tensor.nbytes >= SMALLEST_SEGMENT
        ]
        return Layout(self.name, partition(source.size, segments), tuple(tensors))


def _from_ubjson(source: Source, names: Names) -> list[Tensor]:
    return [
        Tensor(
            names.unique(".".join(array.path)),
            array.dtype,
            (array.elements,),
            (Extent(array.offset, array.length),),
            args={"byteorder": "big"},
        )
        for array in ubjson.Reader(source).arrays()
    ]


def _from_json(source: Source, names: Names) -> list[Tensor]:
    tensors = []
    for array in json_arrays.Reader(source).arrays():
        dtype = TYPES.get(array.path[-1]) if array.path else None
        if array.path[:1] != (ROOT,) or (dtype is None and not array.elements):
            continue  # the version, and empty lists of who knows what
        dtype = dtype or ("int64" if array.whole else "float32")
        extent = Extent(array.offset, array.length)
        name = names.unique(".".join(array.path))
        tensors.append(Tensor(name, dtype, (array.elements,), (extent,), "text", {"separator": ","}))
    return tensors


FORMAT: Format = XGBoost()
