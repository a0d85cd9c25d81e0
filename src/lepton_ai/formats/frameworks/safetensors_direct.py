"""A dict of torch tensors from the bytes of safetensors files, wherever these are: no file is written on the way."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from lepton_ai.errors import Unsupported
from lepton_ai.formats.contract import Source
from lepton_ai.formats.frameworks.contract import need
from lepton_ai.formats.frameworks.safetensors_files import INDEX, INSTALL

if TYPE_CHECKING:
    from torch import Tensor

SUFFIX = ".safetensors"
PLAIN = (".json", ".txt", ".md", ".jinja", ".yaml", ".yml")
"""What lies beside the weights in a model folder and is no model itself."""

TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}
"""safetensors' names of the types and torch's."""


class Fillable(Source, Protocol):
    """A source that can put all of its bytes somewhere at once."""

    def fill(self, target: memoryview) -> None:
        """Write the whole of it into ``target``."""


def wanted(files: Sequence[str], path: str | None = None) -> list[str] | None:
    """The files that make the model, when nothing but safetensors files can be it; else None."""
    weights = [name for name in files if name.endswith(SUFFIX)]
    if not weights or not all(name.endswith((SUFFIX, *PLAIN)) for name in files):
        return None
    if path is not None:
        return [path] if path in weights else None
    indexes = [name for name in files if name.endswith(INDEX)]
    if len(weights) == 1 and not indexes:
        return weights
    return None


def build(sources: Mapping[str, Fillable]) -> dict[str, Tensor]:
    """The tensors of all files; those of a file share one piece of memory, tied ones are the same.

    Raises:
        Unsupported: a file is none of safetensors, or has a type that torch does not know.
    """
    torch = need("torch", INSTALL)
    tensors: dict[str, Tensor] = {}
    for name, source in sources.items():
        length = int.from_bytes(source.read(0, 8), "little") if source.size >= 8 else source.size
        if length > source.size - 8:
            raise Unsupported(f"{name!r} is no safetensors file", hint="check it out instead")
        header = json.loads(source.read(8, length))
        memory = torch.empty(source.size, dtype=torch.uint8)
        source.fill(memoryview(memory.numpy()).cast("B"))
        ties = header.pop("__metadata__", None) or {}
        for key, about in header.items():
            tensors[key] = _tensor(torch, memory, 8 + length, about, f"{name}:{key}")
        for key, kept in ties.items():
            if kept in tensors and key not in tensors:
                tensors[key] = tensors[kept]
    return tensors


def _tensor(torch: Any, memory: Tensor, start: int, about: dict[str, Any], what: str) -> Tensor:
    dtype = getattr(torch, TYPES.get(about["dtype"], ""), None)
    if dtype is None:
        raise Unsupported(
            f"{what} is of type {about['dtype']}, which torch has not", hint="check it out instead"
        )
    first, last = about["data_offsets"]
    data = memory[start + first : start + last]
    if data.data_ptr() % dtype.itemsize:
        data = data.clone()
    tensor: Tensor = (
        data.view(dtype).reshape(about["shape"]) if len(data) else torch.empty(about["shape"], dtype=dtype)
    )
    return tensor
