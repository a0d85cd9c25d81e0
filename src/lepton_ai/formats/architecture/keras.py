"""The layers of a Keras model, out of the configuration that its file carries, without Keras.

Layers within layers are called by both: ``encoder/dense``. A configuration is flattened: ``kernel_initializer.scale``.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from lepton_ai.formats import zip_members
from lepton_ai.formats.architecture.contract import LONGEST_VALUE, Part, Parts
from lepton_ai.formats.checks import parse_json
from lepton_ai.formats.contract import Malformed, Source
from lepton_ai.formats.hdf5_file.attributes import string_attribute
from lepton_ai.formats.hdf5_file.headers import read_header
from lepton_ai.formats.hdf5_file.heaps import GlobalHeaps
from lepton_ai.formats.hdf5_file.superblock import open_file

MOST_CONFIG = 64 << 20
MOST_NESTED = 100


def of_archive(source: Source) -> list[Part]:
    """The layers of a ``.keras`` file.

    Raises:
        Malformed: its configuration cannot be read.
    """
    config = next((member for member in zip_members.members(source) if member.name == "config.json"), None)
    return [] if config is None else _layers(zip_members.read(source, config, MOST_CONFIG))


def of_hdf5(source: Source) -> list[Part]:
    """The layers of a ``.h5`` file that holds a whole model; none when it holds weights, or is not Keras's.

    Raises:
        Malformed: its configuration cannot be read.
    """
    access, root = open_file(source)
    config = string_attribute(access, GlobalHeaps(access), read_header(access, root), b"model_config")
    return [] if config is None else _layers(config)


def _layers(text: bytes) -> list[Part]:
    found = Parts()
    try:
        _walk(parse_json(text), "", 0, found)
    except RecursionError:
        raise Malformed("its configuration nests too deeply") from None
    return found.found


def _walk(node: Any, prefix: str, depth: int, found: Parts) -> None:
    """The layer that a dict describes, and those within it; the model itself is no layer of its own."""
    if (
        not isinstance(node, dict)
        or not isinstance(config := node.get("config"), dict)
        or depth > MOST_NESTED
    ):
        return
    layers = config.get("layers")
    name = str(config.get("name", node.get("class_name", "")))
    found.room(prefix, name)
    if isinstance(layers, list):
        inner = f"{prefix}{name}/" if depth else ""
        if depth:
            found.put(prefix + name, _kind(node), {"inputs": _inputs(node)})
        for layer in layers:
            _walk(layer, inner, depth + 1, found)
        return
    if not depth:
        return
    values = {key: value for key, value in config.items() if key != "name"}
    attributes = {"inputs": _inputs(node), **dict(_flat(values, "", found))}
    found.put(prefix + name, _kind(node), attributes)


def _kind(node: dict[str, Any]) -> str:
    return str(node.get("class_name"))[:LONGEST_VALUE]


def _inputs(node: dict[str, Any]) -> str:
    return ", ".join(_histories(node.get("inbound_nodes"), 0))


def _histories(value: Any, depth: int) -> Iterator[str]:
    """The layers that a layer reads, as Keras 2 and 3 note them: [name, number of the call, number of the output]."""
    if depth > MOST_NESTED:
        return
    if isinstance(value, dict):
        for inner in value.values():
            yield from _histories(inner, depth + 1)
    elif isinstance(value, list):
        if len(value) in (3, 4) and isinstance(value[0], str) and all(type(v) is int for v in value[1:3]):
            yield value[0]
            return
        for inner in value:
            yield from _histories(inner, depth + 1)


def _flat(value: Any, key: str, found: Parts, depth: int = 0) -> Iterator[tuple[str, str]]:
    """The leaves of a configuration by their path, as text; what Keras notes of a class's origin is left out."""
    if isinstance(value, dict) and value and depth < MOST_NESTED:
        shown = {k: v for k, v in value.items() if k not in ("module", "registered_name")} or value
        for name, inner in shown.items():
            found.room(key, name)
            yield from _flat(inner, f"{key}.{name}" if key else name, found, depth + 1)
    else:
        yield key, (value if isinstance(value, str) else json.dumps(value))[:LONGEST_VALUE]
