"""Limits that readers share: names that can be stored, JSON that cannot explode."""

from __future__ import annotations

import json
from typing import Any

import msgspec

from lepton_ai.formats.contract import MAX_TENSORS, Malformed, Tensor

MAX_NAME = 4096
"""Characters of a tensor's name."""

MAX_JSON_VALUES, FREE_JSON_VALUES = 5_000_000, 300_000
"""A parsed value takes sixty bytes and a key three times that, whatever their few bytes of text claim. Beyond the free
ones there may be one for two bytes of text: what describes tensors has one for three at most."""


def clean_name(name: str) -> str:
    """``name``, when it can be a tensor's.

    Raises:
        Malformed: it is too long, has control characters, or is no valid Unicode.
    """
    if len(name) > MAX_NAME:
        raise Malformed(f"a name of {len(name)} characters")
    if not name.isprintable() and any(map(_is_none, name)):
        raise Malformed("a name with characters that are none")
    return name


def _is_none(character: str) -> bool:
    """Whether it is a control, one of those above ASCII included (U+009B moves a cursor), or half a character."""
    return character < " " or "\x7f" <= character <= "\x9f" or "\ud800" <= character <= "\udfff"


def is_extent(value: Any) -> bool:
    """Whether a value is a natural number that a file can have as a size or place: no true, no 5000 digits."""
    return type(value) is int and 0 <= value < 1 << 63


def most_tensors(size: int) -> int:
    """How many tensors a file of ``size`` bytes may have.

    Each costs half a KiB of memory to describe: files of very many and very small ones are better left alone.
    """
    return min(MAX_TENSORS, 50_000 + size // 32)


def put(found: dict[str, Tensor], tensor: Tensor, size: int) -> str:
    """Add a tensor to those found in a file of ``size`` bytes, and give the name that it got.

    One of another's name becomes ``name~2``; an exact repetition is left out.

    Dotted names of nested things can fall together: {"a.b": …, "a": {"b": …}}.

    Raises:
        Malformed: there are too many, the name can be nobody's, or a tenth tensor wants it.
    """
    if len(found) >= most_tensors(size):
        raise Malformed(f"more tensors than {size} bytes can hold")
    name = clean_name(tensor.name)
    for number in range(2, 11):
        if name not in found:
            found[name] = tensor if name == tensor.name else msgspec.structs.replace(tensor, name=name)
            return name
        if msgspec.structs.replace(found[name], name=tensor.name) == tensor:
            return name
        name = f"{tensor.name}~{number}"
    raise Malformed(f"ten tensors are called {tensor.name[:80]!r}")


def parse_json(data: bytes) -> Any:
    """The value that ``data`` says; objects are dicts.

    Raises:
        Malformed: it is not JSON in UTF-8, nests too deeply, repeats a key, or has too many values.
    """
    most = min(MAX_JSON_VALUES, FREE_JSON_VALUES + len(data) // 2)
    if 3 * data.count(b":") + sum(map(data.count, (b",", b"[", b"{"))) > most:
        raise Malformed("more values than a header has")
    try:
        return json.loads(data.decode(), object_pairs_hook=_object)
    except RecursionError:
        raise Malformed("its JSON nests too deeply") from None
    except ValueError as error:
        raise Malformed(f"its JSON cannot be read: {error}") from None


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise Malformed("its JSON says the same key twice")
    return result
