"""Look into Keras's files without Keras: their configurations, and the arrays of files that have none."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks.contract import need

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import numpy as np

CONFIGS = ("model_config", "training_config")
MAX_CONFIG = 256 * 1024 * 1024


def of(path: Path) -> list[Any]:
    """The configurations of a .keras or .h5 file; none when it holds weights only.

    Raises:
        Unsupported: it is neither, or its configuration is no JSON.
    """
    try:
        return [
            json.loads(text) for text in (_zipped(path) if path.suffix == ".keras" else _attributes(path))
        ]
    except (ValueError, KeyError, OSError, zipfile.BadZipFile, NotImplementedError, RecursionError) as error:
        raise Unsupported(f"{path.name!r} is not a readable Keras file: {error}") from error


def lambdas(configs: list[Any]) -> list[str]:
    """The names of the layers that hold Python bytecode.

    Keras 3 marks it ``__lambda__``; older files give a ``Lambda`` layer's ``function_type`` as "lambda" or
    its function as a list of code, defaults and closure.
    """
    names = set()
    for config in configs:
        for name, node in _nodes(config, "the model"):
            old = node.get("class_name") == "Lambda" and _is_code(node.get("config"))
            if old or node.get("class_name") == "__lambda__":
                names.add(name)
    return sorted(names)


def strangers(path: Path) -> list[str]:
    """The classes and functions that a file names and that are not Keras's own."""
    found = set()
    for config in of(path):
        for _, node in _nodes(config, ""):
            module = node.get("module")
            if isinstance(module, str) and module.partition(".")[0] not in {"keras", "builtins"}:
                found.add(f"{module}.{node.get('class_name')}")
            elif "class_name" in node and node.get("registered_name") and module is None:
                found.add(str(node["registered_name"]))
    return sorted(found)


def arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    """Every dataset of an HDF5 file by its path; links to other files are not followed.

    Raises:
        Unsupported: a dataset's values are not in this file.
    """
    h5py = need("h5py", "lepton-ai[keras]")
    found: dict[str, np.ndarray[Any, Any]] = {}

    def visit(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset):
            return
        if item.external or item.is_virtual or (item.nbytes and not item.id.get_storage_size()):
            raise Unsupported(f"the values of {name!r} are not in {path.name!r}")
        found[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return found


def _zipped(path: Path) -> list[str | bytes]:
    with zipfile.ZipFile(path) as archive:
        member = archive.getinfo("config.json")
        if member.file_size > MAX_CONFIG:
            raise ValueError("its config.json is too large")
        return [archive.read(member)]


def _attributes(path: Path) -> list[str | bytes]:
    h5py = need("h5py", "lepton-ai[keras]")
    with h5py.File(path, "r") as file:
        if "model_config" not in file.attrs:
            return []
        return [file.attrs[name] for name in CONFIGS if name in file.attrs]


def _nodes(config: Any, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every dict of a configuration, with the name of the layer that it belongs to."""
    if isinstance(config, dict):
        inner = config.get("config")
        if isinstance(inner, dict) and isinstance(inner.get("name"), str):
            name = inner["name"]
        yield name, config
        for value in config.values():
            yield from _nodes(value, name)
    elif isinstance(config, list):
        for value in config:
            yield from _nodes(value, name)


def _is_code(config: Any) -> bool:
    return isinstance(config, dict) and (
        "lambda" in {config.get("function_type"), config.get("output_shape_type")}
        or isinstance(config.get("function"), list)
    )
