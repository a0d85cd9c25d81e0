"""skops, scikit-learn's safe file: a zip archive of schema.json and a .npy member for each array.

The schema is the object's tree; an array is called by its path in it ("steps.1.1.coef_"), because the
members' own names are different at every save. Arrays that the schema does not name keep their member's name.

Source: https://skops.readthedocs.io/en/stable/persistence.html, skops/io/_numpy.py
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.formats import npz, zip_members
from lepton_ai.formats.checks import parse_json
from lepton_ai.formats.contract import Layout, Malformed, Source

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA = "schema.json"
MAX_SCHEMA = 64 << 20


class Skops:
    """The reader."""

    name = "skops"

    def claims(self, path: str, head: bytes) -> bool:
        """Whether it is a zip archive called .skops."""
        return path.lower().endswith(".skops") and head.startswith(b"PK")

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .skops."""
        return path.lower().endswith(".skops")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (contract)
        """Where the arrays of ``path`` sit."""
        members = {member.name: member for member in zip_members.members(source)}
        if SCHEMA not in members:
            raise Malformed("it has no schema.json")
        text = zip_members.read(source, members[SCHEMA], MAX_SCHEMA)
        places = _files(parse_json(text), letters=(1 << 20) + 4 * len(text))
        named = [(name, members[file]) for name, file in places if file in members]
        seen = {member.name for _, member in named}
        named += [(name, member) for name, member in members.items() if name not in seen]
        return npz.arrays(self.name, source, named)


def _files(schema: Any, letters: int) -> Iterator[tuple[str, str]]:
    """Path and member of every array in the tree, in order, while the paths take at most ``letters``."""
    waiting: list[tuple[str, Any]] = [("", schema)]
    while waiting:
        path, value = waiting.pop()
        if isinstance(value, dict) and "__loader__" in value and isinstance(value.get("file"), str):
            yield path or "array", value["file"]
            continue
        below: list[tuple[str, Any]] = []
        for key, child in _children(value):
            letters -= len(path) + len(key) + 1
            if letters < 0:  # before the path is made: a long one has room for many below it
                raise Malformed("a schema whose paths are longer than it can account for")
            below.append((_join(path, key), child))
        waiting += reversed(below)


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    """What is below a value, by the name that it adds to the path: "content" of a node adds none."""
    if isinstance(value, dict):
        is_node = "__loader__" in value
        pairs = (("" if is_node and key == "content" else key, child) for key, child in value.items())
    elif isinstance(value, list):
        pairs = ((str(index), child) for index, child in enumerate(value))
    else:
        return
    yield from (pair for pair in pairs if isinstance(pair[1], dict | list))


def _join(path: str, key: str) -> str:
    return f"{path}.{key}" if path and key else path or key


FORMAT = Skops()
