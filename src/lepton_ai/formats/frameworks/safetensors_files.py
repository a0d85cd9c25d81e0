"""A dict of torch tensors ⇄ a safetensors file, with tensors that share memory kept once."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks.contract import need

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor

INSTALL = "lepton-ai[torch]"
INDEX = ".safetensors.index.json"


def write(state: Mapping[str, Any], path: Path) -> None:
    """Write a state dict; of tied tensors the first is kept, ``__metadata__`` says {other name: its name}.

    That is how ``safetensors.torch.save_model`` records ties, so its ``load_model`` reads the file too.

    Raises:
        Unsupported: something in it is no dense tensor with values.
    """
    safetensors = need("safetensors.torch", INSTALL)
    tensors, ties = _untied(state)
    safetensors.save_file(tensors, path, metadata={"format": "pt", **ties})


def read(path: Path) -> dict[str, Tensor]:
    """Every tensor of a file, or of the shards that an index names; tied ones share their memory again."""
    need("torch", INSTALL)
    safetensors = need("safetensors", INSTALL)
    tensors: dict[str, Tensor] = {}
    for shard in shards(path) if path.name.endswith(INDEX) else [path]:
        with safetensors.safe_open(shard, framework="pt") as file:
            # A copy: the library maps the file, which may change or go while the tensors live.
            tensors.update({name: file.get_tensor(name).clone() for name in file.keys()})  # noqa: SIM118  (no mapping)
            for name, kept in (file.metadata() or {}).items():
                if kept in tensors and name not in tensors:
                    tensors[name] = tensors[kept]
    return tensors


def shards(index: Path) -> list[Path]:
    """The files that an index of a sharded model names.

    Raises:
        Unsupported: it is no such index, or points outside of its folder.
    """
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
        inside = all(PurePosixPath(name).name == name for name in names)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Unsupported(f"{index.name!r} is not an index of safetensors files") from error
    if not inside:
        raise Unsupported(f"{index.name!r} points to files outside of its folder")
    return [index.parent / name for name in names]


def _untied(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors that own their memory, and which names were left out because another holds the same memory."""
    import torch

    kept: dict[str, Tensor] = {}
    ties: dict[str, str] = {}
    first: dict[object, str] = {}
    storages: set[int] = set()
    for name, value in state.items():
        _check(name, value)
        tensor = value.detach()
        storage = tensor.untyped_storage()
        place = (storage.data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and place in first:
            ties[name] = first[place]
            continue
        first[place] = name
        shared = storage.data_ptr() in storages or storage.nbytes() != tensor.numel() * tensor.element_size()
        storages.add(storage.data_ptr())
        if tensor.device.type != "cpu":
            tensor, shared = tensor.cpu(), False
        kept[name] = tensor.clone(memory_format=torch.contiguous_format) if shared else tensor.contiguous()
    return kept, ties


def _check(name: object, value: Any) -> None:
    import torch

    other = "format='state_dict' keeps such an object (as a .pt file)"
    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise Unsupported(
            f"safetensors holds named tensors only, and {name!r} is a {type(value).__name__}", hint=other
        )
    if value.layout is not torch.strided or value.is_quantized:
        raise Unsupported(f"safetensors holds dense tensors only, and {name!r} is not", hint=other)
    if value.device.type == "meta":
        raise Unsupported(f"{name!r} has no values yet: it is on the meta device")
