"""YAML text to plain values: dicts, lists, strings, numbers, booleans and null, nothing that runs code."""

from __future__ import annotations

from typing import Any

from lepton_ai.errors import UsageError

LONGEST = 1 << 20
"""Bytes of a configuration."""


def plain(text: str, where: str) -> dict[str, Any]:
    """The mapping that a YAML text holds; ``where`` it is from, for messages.

    Raises:
        UsageError: it is not YAML, not one mapping, or names a key twice.
    """
    import yaml

    if len(text) > LONGEST:
        raise UsageError(f"{where} has {len(text)} characters; a merge configuration has a few hundred")

    class Loader(yaml.SafeLoader):  # type: ignore[misc]  # PyYAML comes without types
        """Refuses what PyYAML lets pass: a key twice counts once there, and an alias may unfold to gigabytes."""

        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise UsageError(f"{where}: aliases (*name) are not read", hint="write the value out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            keys = [self.construct_object(key, deep=True) for key, _ in node.value]
            for key in keys:
                if not isinstance(key, str):
                    raise UsageError(f"{where}: {key!r} is no name for a key")
                if keys.count(key) > 1:
                    raise UsageError(f"{where}: {key!r} is there twice", hint="keep one of them")
            return super().construct_mapping(node, deep=deep)

    try:
        value = yaml.load(text, Loader)  # noqa: S506  (a subclass of the safe loader)
    except (yaml.YAMLError, RecursionError, ValueError) as problem:
        line = " ".join(str(problem).split()) or type(problem).__name__
        raise UsageError(f"{where} is no YAML: {line[:300]}") from problem
    if not isinstance(value, dict):
        raise UsageError(f"{where} holds no merge configuration", hint="it needs merge_method: and models:")
    return value
