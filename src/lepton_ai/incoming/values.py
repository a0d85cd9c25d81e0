"""Numbers and settings in small files: JSON, YAML and TOML, flattened to ``train.lr``."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

import yaml

LARGEST = 16 << 20
"""Bytes; a larger file is no file of metrics or settings."""
MOST = 100_000
"""Values of one file that are taken."""
_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def parsed(path: str, data: bytes) -> Any:
    """What a file says; None when it is none of the three, or broken."""
    try:
        text = data.decode("utf-8")
        if path.endswith(".json"):
            return json.loads(text)
        if path.endswith(".toml"):
            return tomllib.loads(text)
        if path.endswith((".yaml", ".yml", ".dvc", ".lock")):
            return yaml.load(text, Loader=_Loader)  # noqa: S506  (the safe loader, in C where there is one)
    except (ValueError, yaml.YAMLError, RecursionError):
        return None
    return None


def flat(value: Any) -> Iterator[tuple[str, Any]]:
    """Every value that is no mapping, by the dotted path of its keys; YAML's references cannot make it endless."""
    return islice(_flat(value, ""), MOST)


def _flat(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _flat(inner, f"{name}.{key}" if name else str(key))
    elif name:
        yield name, value


def is_number(value: object) -> bool:
    """Whether a value can be a metric."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def mapping(value: Any) -> Mapping[str, Any]:
    """A mapping as it is; anything else as an empty one."""
    return value if isinstance(value, Mapping) else {}


def listed(value: Any) -> list[Any]:
    """A list as it is; anything else as an empty one."""
    return value if isinstance(value, list) else []
