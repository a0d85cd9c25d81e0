"""Rules for names, and how an address like ``main@v2~1`` is read."""

from __future__ import annotations

import re

import msgspec

from lepton_ai.errors import InvalidName

MAX_LENGTH = 128
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*")
_REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*(/[A-Za-z0-9_][A-Za-z0-9._-]*)*")
_HEX = re.compile(r"[0-9a-f]{7,64}")
_AUTOMATIC = re.compile(r"v([1-9][0-9]{0,17})")
_ENDLESS = re.compile(r"v[1-9][0-9]{15,}")
"""Numbers that nobody counts to; below them, counting on never leaves what an automatic name can be."""


class Address(msgspec.Struct, frozen=True):
    """What a person wrote to mean a version: ``[branch@]name[~revision]``."""

    name: str
    branch: str | None = None
    revision: int | None = None


def check_version_name(name: str) -> str:
    """Return ``name`` if a version may be called so.

    Raises:
        InvalidName: it is empty, too long, has other letters, or could be taken for an id.
    """
    if not isinstance(name, str) or not _VERSION.fullmatch(name) or len(name) > MAX_LENGTH or ".." in name:
        raise InvalidName(
            f"{name!r} cannot name a version",
            hint="use letters, digits, '.', '_' and '-', for example v2 or 2026-11-20",
        )
    if _HEX.fullmatch(name):
        raise InvalidName(
            f"{name!r} looks like a version id",
            hint="add a letter after f or a '-', for example r-" + name,
        )
    if _ENDLESS.fullmatch(name):
        raise InvalidName(
            f"{name!r} is too high a number: the next version would be counted on from it",
            hint="write something else before it, for example r-" + name,
        )
    return name


def check_ref_name(name: str, what: str) -> str:
    """Return ``name`` if a branch, tag or alias may be called so; ``what`` says which for the message.

    Raises:
        InvalidName: as for versions; '/' may part it. A tag or alias called v2 would never be reached: the version is.
    """
    if not isinstance(name, str) or not _REF.fullmatch(name) or len(name) > MAX_LENGTH or ".." in name:
        raise InvalidName(
            f"{name!r} cannot name a {what}", hint="use letters, digits, '.', '_', '-', and '/' between parts"
        )
    if what != "branch" and _HEX.fullmatch(name):
        raise InvalidName(f"{name!r} looks like a version id", hint="choose another name")
    if what != "branch" and automatic_number(name):
        raise InvalidName(
            f"{name!r} is what a version is called, so it cannot name a {what}",
            hint=f"choose another name, for example r-{name}",
        )
    return name


def automatic_number(name: str) -> int:
    """The N of an automatic name ``vN``; 0 for any other name."""
    match = _AUTOMATIC.fullmatch(name)
    return int(match.group(1)) if match else 0


def is_id_prefix(text: str) -> bool:
    """Whether ``text`` can be the beginning of a version id (at least four hexadecimal digits)."""
    return re.fullmatch(r"[0-9a-f]{4,64}", text) is not None


def parse(text: str) -> Address:
    """Read an address.

    Raises:
        InvalidName: it is empty or its revision is not a positive number.
    """
    rest, tilde, revision = text.partition("~")
    branch, at, name = rest.rpartition("@")
    if not name or (at and not branch) or (tilde and not re.fullmatch(r"[1-9][0-9]{0,8}", revision)):
        raise InvalidName(
            f"{text!r} is not the address of a version",
            hint="write v2, branch@v2, v2~1, a tag, an alias or an id",
        )
    return Address(name, branch or None, int(revision) if tilde else None)
