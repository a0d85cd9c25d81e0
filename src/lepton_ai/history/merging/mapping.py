"""A mapping file: which tensor is called what on the other side, as a person writes it.

Text, a line each: ``old -> new``. ``*`` stands for any letters and is put in for the ``*`` of the new name, in order;
``/…/ -> …`` is a regular expression with ``\\1`` …; ``#`` begins a comment. Or JSON: an object ``{"old": "new", …}`` in
the same words. The first line that fits a name decides.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

import msgspec

from lepton_ai.errors import UsageError

_FORM = "write lines like: old.name -> new.name, or encoder.* -> model.encoder.*"


class Line(msgspec.Struct, frozen=True):
    """One line: names that fit ``pattern`` become ``new`` (as ``re`` writes it); ``said`` is how it was put."""

    pattern: str
    new: str
    said: str


def parse(data: bytes, where: str) -> tuple[Line, ...]:
    """Read a mapping file; ``where`` names it in errors.

    Raises:
        UsageError: it is none; says which line, and what is wrong with it.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError(f"{where} is not UTF-8 text", hint=_FORM) from None
    pairs = _json(text, where) if text.lstrip().startswith("{") else _lines(text, where)
    lines = tuple(_line(old, new, place) for old, new, place in pairs)
    if not lines:
        raise UsageError(f"{where} maps nothing", hint=_FORM)
    return lines


def names(lines: Iterable[Line], base: Iterable[str], side: Iterable[str], where: str) -> dict[str, str]:
    """Old name → new name for every tensor of ``base`` that the mapping renames in ``side``.

    Raises:
        UsageError: a line fits no tensor, leads to a name that is not there, or two lead to one.
    """
    there, used, found = set(side), set[Line](), dict[str, str]()
    listed = tuple(lines)
    for old in base:
        line = next((line for line in listed if re.fullmatch(line.pattern, old)), None)
        if line is None:
            continue
        used.add(line)
        new = re.sub(f"^(?:{line.pattern})$", line.new, old)
        if new not in there:
            raise UsageError(
                f"{where}: {line.said} turns {old!r} into {new!r}, which is not there",
                hint="lepton tensors shows the names of a version",
            )
        if new in found.values():
            other = next(name for name, its in found.items() if its == new)
            raise UsageError(f"{where}: {other!r} and {old!r} both become {new!r}", hint="every name once")
        found[old] = new
    for line in listed:
        if line not in used:
            raise UsageError(
                f"{where}: {line.said} fits no tensor of the base, or another line comes first",
                hint="lepton tensors shows the names of a version",
            )
    return found


def _json(text: str, where: str) -> Iterator[tuple[str, str, str]]:
    try:
        found: Mapping[str, str] = msgspec.json.decode(text, type=dict[str, str])
    except msgspec.DecodeError as problem:
        raise UsageError(
            f"{where} is no JSON object of texts: {problem}", hint='{"old.name": "new.name"}'
        ) from None
    for old, new in found.items():
        yield old, new, where


def _lines(text: str, where: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        plain = re.split(r"(?:^|\s)#", line)[0].strip()
        if not plain:
            continue
        old, arrow, new = plain.partition("->")
        if not arrow or not old.strip() or not new.strip() or "->" in new:
            raise UsageError(f"{where}, line {number}: {plain!r} is no 'old -> new'", hint=_FORM)
        yield old.strip(), new.strip(), f"{where}, line {number}"


def _line(old: str, new: str, place: str) -> Line:
    said = f"'{old} -> {new}'"
    if len(old) > 2 and old.startswith("/") and old.endswith("/"):
        return Line(_checked(old[1:-1], new, place, said), new, said)
    if old.count("*") != new.count("*"):
        raise UsageError(
            f"{place}: {said} has {old.count('*')} stars before the arrow and {new.count('*')} behind it",
            hint="every * of the old name stands in the new one, in order",
        )
    pattern = "(.*)".join(re.escape(part) for part in old.split("*"))
    parts = [part.replace("\\", "\\\\") for part in new.split("*")]
    filled = parts[0] + "".join(f"\\g<{number}>{part}" for number, part in enumerate(parts[1:], 1))
    return Line(pattern, filled, said)


def _checked(pattern: str, new: str, place: str, said: str) -> str:
    try:
        re.compile(pattern)
        re.sub(f"^(?:{pattern})?$", new, "")
    except (re.error, IndexError) as problem:
        raise UsageError(f"{place}: {said} is no regular expression: {problem}", hint=_FORM) from None
    return pattern
