"""Three-way merge of JSON objects by their keys, in the text of ours: what nobody touched keeps its letters.

Objects are merged key by key, at any depth; anything else (a list, a number, a text) is one value.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any, NamedTuple

import msgspec

DEEPEST = 100
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER = json.JSONDecoder()


class Node(NamedTuple):
    """A value as written (``letters``) and as meant (``plain``, equal for equal values).

    ``members`` are an object's, in order, ``closing`` the space before its brace; None for every other value.
    """

    letters: str
    plain: str
    members: dict[str, Member] | None = None
    closing: str = ""


class Member(NamedTuple):
    """A member of an object: the space before it, its key up to where the value begins, the value, the space after."""

    lead: str
    head: str
    value: Node
    trail: str = ""


class Trees(NamedTuple):
    """The same file on the three sides; ``base`` None when both added it. ``around`` is the space around ours."""

    base: Node | None
    ours: Node
    theirs: Node
    around: tuple[str, str]


class ByKey(msgspec.Struct, frozen=True):
    """The merged text, and the keys (as JSON pointers) that both changed differently: there it is ours."""

    data: bytes
    clashes: tuple[str, ...] = ()


def trees(base: bytes | None, ours: bytes, theirs: bytes) -> Trees | None:
    """The three texts taken apart; None unless each is one JSON object without two equal keys."""
    mine, its = _parsed(ours), _parsed(theirs)
    old = None if base is None else _parsed(base)
    if mine is None or its is None or (base is not None and old is None):
        return None
    return Trees(old[0] if old else None, mine[0], its[0], mine[1])


def is_sound(data: bytes) -> bool:
    """Whether it is one JSON object without two equal keys."""
    return _parsed(data) is not None


def merge(sides: Trees) -> ByKey:
    """Merge by key; a key that only theirs has comes behind the one that it follows there."""
    clashes: list[str] = []
    text = _merged(sides.base, sides.ours, sides.theirs, "", clashes)
    before, after = sides.around
    return ByKey((before + text + after).encode(), tuple(clashes))


def _merged(base: Node | None, ours: Node, theirs: Node, where: str, clashes: list[str]) -> str:
    """The object ours with what theirs changed in it, as text."""
    old = (base.members if base is not None else None) or {}
    mine, its = ours.members or {}, theirs.members or {}
    kept: dict[str, Member] = dict(mine)
    added: list[str] = []
    for key in dict.fromkeys([*mine, *its]):
        before, here, there = old.get(key), mine.get(key), its.get(key)
        was, is_, comes = (None if member is None else member.value.plain for member in (before, here, there))
        if comes in (is_, was):
            continue
        pointer = f"{where}/{key.replace('~', '~0').replace('/', '~1')}"
        if here and there and here.value.members is not None and there.value.members is not None:
            text = _merged(before.value if before else None, here.value, there.value, pointer, clashes)
            kept[key] = here._replace(value=Node(text, ""))
        elif is_ != was:
            clashes.append(pointer)
        elif there is None:
            del kept[key]
        elif here is not None:
            kept[key] = here._replace(value=there.value)
        else:
            added.append(key)
    lead = next((member.lead for member in mine.values()), None)
    return _written(_with(kept, added, its, lead), ours if mine else theirs)


def _with(
    members: dict[str, Member], added: list[str], theirs: dict[str, Member], lead: str | None
) -> list[Member]:
    """The members, and each new one behind its nearest neighbour above, in the order of theirs, that is there."""
    behind: dict[str | None, list[str]] = {}
    new = set(added)
    above = None
    for key in theirs:
        if key in new:
            behind.setdefault(above, []).append(key)
        elif key in members:
            above = key
    order = [*behind.get(None, ()), *(each for key in members for each in (key, *behind.get(key, ())))]
    return [members[key] if key in members else _fresh(theirs[key], lead) for key in order]


def _fresh(member: Member, lead: str | None) -> Member:
    return Member(member.lead if lead is None else lead, member.head, member.value)


def _written(members: list[Member], like: Node) -> str:
    if not members:
        return "{}"
    return "{" + ",".join(m.lead + m.head + m.value.letters + m.trail for m in members) + like.closing + "}"


def _parsed(data: bytes) -> tuple[Node, tuple[str, str]] | None:
    try:
        text = data.decode("utf-8")
        start = _skip(text, 0)
        node, end = _value(text, start, 0)
    except (UnicodeDecodeError, ValueError, IndexError, RecursionError):
        return None
    sound = node.members is not None and _skip(text, end) == len(text)
    return (node, (text[:start], text[end:])) if sound else None


def _skip(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    return found.end() if found else at


def _value(text: str, start: int, depth: int) -> tuple[Node, int]:
    """The value at ``start``, and where it ends.

    Raises:
        ValueError: it is no JSON, or has one key twice. IndexError: it ends too early.
    """
    if text[start] == "{" and depth < DEEPEST:
        return _object(text, start, depth)
    value, end = _DECODER.raw_decode(text, start)
    letters = text[start:end]
    if "{" in letters:
        json.loads(letters, object_pairs_hook=_once)
    return Node(letters, _short(json.dumps(value, sort_keys=True))), end


def _short(plain: str) -> str:
    return plain if len(plain) <= 64 else hashlib.sha256(plain.encode("utf-8", "surrogatepass")).hexdigest()


def _object(text: str, start: int, depth: int) -> tuple[Node, int]:
    members: dict[str, Member] = {}
    before = start + 1
    at = _skip(text, before)
    while text[at] != "}" or members:
        if text[at] != '"':
            raise ValueError("a key is no text")
        key, after = _DECODER.raw_decode(text, at)
        after = _skip(text, after)
        if text[after] != ":" or key in members:
            raise ValueError("a key without a value, or twice")
        begin = _skip(text, after + 1)
        value, end = _value(text, begin, depth + 1)
        stop = _skip(text, end)
        last = text[stop] == "}"
        members[key] = Member(text[before:at], text[at:begin], value, "" if last else text[end:stop])
        if last:
            before, at = end, stop
            break
        if text[stop] != ",":
            raise ValueError("no comma between two members")
        before = stop + 1
        at = _skip(text, before)
    plain = repr(sorted((key, member.value.plain) for key, member in members.items()))
    return Node(text[start : at + 1], _short("object" + plain), members, text[before:at]), at + 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of a list: which of two equal keys counts is anybody's guess, so there may be none."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key twice")
    return found
