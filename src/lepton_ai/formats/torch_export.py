"""The weights of ``torch.export`` archives (.pt2): a JSON file says which member holds which tensor.

Source: https://github.com/pytorch/pytorch/blob/v2.13.0/torch/export/pt2_archive/_package.py and
torch/_export/serde/schema.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.formats.checks import is_extent, parse_json
from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.torch_tensors import DTYPES, View

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCALAR_TYPES = {
    number: DTYPES[name]
    for number, name in {
        1: "uint8",
        2: "int8",
        3: "int16",
        4: "int32",
        5: "int64",
        6: "float16",
        7: "float32",
        8: "float64",
        9: "complex32",
        10: "complex64",
        11: "complex128",
        12: "bool",
        13: "bfloat16",
        28: "uint16",
        29: "float8_e4m3fn",
        30: "float8_e5m2",
        31: "float8_e4m3fnuz",
        32: "float8_e5m2fnuz",
        33: "float8_e8m0fnu",
        34: "uint32",
        35: "uint64",
    }.items()
}
_STRIDED = 7


class _Integer(msgspec.Struct):
    as_int: int


class _Meta(msgspec.Struct):
    dtype: int
    sizes: list[_Integer]
    strides: list[_Integer]
    storage_offset: _Integer
    layout: int


class _Payload(msgspec.Struct):
    path_name: str
    use_pickle: bool = False
    tensor_meta: _Meta | None = None


class _Config(msgspec.Struct):
    config: dict[str, _Payload]


def payloads(data: bytes) -> Iterator[tuple[str, str, View | None]]:
    """Name, member (beside the configuration) and description of each tensor; None for a pickled archive.

    Raises:
        Malformed: the configuration cannot be read, or has symbolic sizes or sparse tensors.
    """
    try:
        config = msgspec.convert(parse_json(data), ready(_Config))
    except (msgspec.ValidationError, UnicodeEncodeError) as error:  # the latter: a key of lone surrogates
        raise Malformed(f"a configuration of weights that cannot be read: {error}") from None
    for name, payload in config.config.items():
        if payload.use_pickle:
            yield name, payload.path_name, None
        elif payload.tensor_meta is not None:
            yield name, payload.path_name, _view(payload.path_name, payload.tensor_meta)


def _view(path: str, meta: _Meta) -> View:
    if meta.layout != _STRIDED or meta.dtype not in _SCALAR_TYPES or len(meta.sizes) != len(meta.strides):
        raise Malformed("a weight of a kind that is not known here")
    dtype, bits = _SCALAR_TYPES[meta.dtype]
    offset = _natural(meta.storage_offset)
    shape = tuple(_natural(size) for size in meta.sizes)
    strides = tuple(_natural(stride) for stride in meta.strides)
    return View(path, None, dtype, bits, offset, shape, strides)


def _natural(value: _Integer) -> int:
    if not is_extent(value.as_int):
        raise Malformed("a weight whose shape makes no sense")
    return value.as_int
