"""safetensors: the length of a JSON header (u64, little-endian), the header, the tensors' bytes.

The header gives each tensor's type, shape and place after the header; its order need not be that of the data.

Source: https://github.com/huggingface/safetensors#format
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats.checks import is_extent, parse_json, put
from lepton_ai.formats.contract import Extent, Layout, Malformed, Segment, Source, Tensor, partition
from lepton_ai.formats.encodings.dtypes import BITS
from lepton_ai.formats.encodings.shapes import nbytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_HEADER = 100_000_000
"""The format's own limit."""

_TYPES = {
    "BOOL": "bool",
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
    **{f"F{bits}": f"float{bits}" for bits in (16, 32, 64)},
    "BF16": "bfloat16",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E8M0": "float8_e8m0fnu",
    "F6_E2M3": "float6_e2m3fn",
    "F6_E3M2": "float6_e3m2fn",
    "F4": "float4_e2m1fn",
}
"""The format's name → ours."""


class Safetensors:
    """The reader."""

    name = "safetensors"

    def claims(self, path: str, head: bytes) -> bool:
        """Whether the suffix is .safetensors, or the file begins like one."""
        length = int.from_bytes(head[:8], "little")
        return path.lower().endswith(".safetensors") or (length <= MAX_HEADER and head[8:10] == b'{"')

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (contract)
        """Where the tensors of ``path`` sit."""
        length = int.from_bytes(source.read(0, 8), "little")
        if length > MAX_HEADER:
            raise Malformed(f"a header of {length} bytes")
        header = parse_json(source.read(8, length))
        if not isinstance(header, dict):
            raise Malformed("a header that is no object")
        found: dict[str, Tensor] = {}
        segments = []
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            tensor = _tensor(name, entry, 8 + length, source.size)
            put(found, tensor, source.size)
            segments += [
                Segment(extent.offset, extent.length, name, tensor.dtype) for extent in tensor.extents
            ]
        return Layout(self.name, partition(source.size, segments), tuple(found.values()))


def _tensor(name: str, entry: Any, base: int, size: int) -> Tensor:
    match entry:
        case {
            "dtype": str() as code,
            "shape": list() as shape,
            "data_offsets": [int() as start, int() as end],
        }:
            pass
        case _:
            raise Malformed(f"the entry of {name[:80]!r} is none of a tensor")
    if code not in _TYPES:
        raise Malformed(f"elements of type {code[:80]!r}")
    dtype = _TYPES[code]
    if not all(is_extent(number) for number in (start, end, *shape)):
        raise Malformed(f"the shape or place of {name[:80]!r} makes no sense")
    if not start <= end <= size - base:
        raise Malformed(f"the bytes of {name[:80]!r} lie outside of the file")
    if end - start != nbytes_of(dtype, shape, packed=True):
        raise Malformed(f"the bytes of {name[:80]!r} do not fit its shape")
    extents = (Extent(base + start, end - start),) if end > start else ()
    return Tensor(name, dtype, tuple(shape), extents, args={"packed": True} if dtype in BITS else {})


FORMAT = Safetensors()
