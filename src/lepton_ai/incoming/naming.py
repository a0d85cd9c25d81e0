"""Names of other tools as names that are allowed here."""

from __future__ import annotations

import re

from lepton_ai.errors import InvalidName
from lepton_ai.history.names import MAX_LENGTH, check_ref_name, check_version_name


def ref_name(name: str, what: str) -> str:
    """The name nearest to ``name`` that a ``what`` (branch, tag, alias) may have; itself where it may."""
    try:
        return check_ref_name(name, what)
    except InvalidName:
        parts = (_plain(part) for part in name.split("/"))
        plain = "/".join(part for part in parts if part)[:MAX_LENGTH].rstrip("/") or what
    try:
        return check_ref_name(plain, what)
    except InvalidName:
        return check_ref_name(f"r-{plain[: MAX_LENGTH - 2]}", what)


def version_name(name: str) -> str | None:
    """The name if a version may be called so, else None: it gets the next number."""
    try:
        return check_version_name(name)
    except InvalidName:
        return None


def _plain(part: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", part)
    return re.sub(r"\.\.+", ".", plain).lstrip(".-").rstrip("-")
