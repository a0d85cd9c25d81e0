"""What somebody proposes of a repository: its names, its description, what its ``config.json`` says."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from lepton_ai.errors import InvalidName, UsageError
from lepton_ai.store.store import BLOCK_SIZE

LONGEST_DESCRIPTION = 10_000
"""Characters: it stands in every list of repositories."""
SMALLEST_BLOCK, LARGEST_BLOCK = 1 << 10, 64 << 20
"""Bytes."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def check_name(name: str, what: str) -> str:
    """Return ``name`` if a repository or its owner may be called so.

    Raises:
        InvalidName.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidName(
            f"{name!r} cannot name {what}", hint="use letters, digits, '.', '_' and '-', at most 100 of them"
        )
    return name


def check_description(text: str) -> str:
    """Return ``text`` if a repository may be described so.

    Raises:
        UsageError: it is too long.
    """
    if len(text) > LONGEST_DESCRIPTION:
        raise UsageError(f"a description has at most {LONGEST_DESCRIPTION:,} characters, not {len(text):,}")
    return text


def block_size(given: int | None) -> int:
    """The size of blocks, in bytes; the usual one when none is given.

    Raises:
        UsageError: blocks cannot be so small or large.
    """
    size = BLOCK_SIZE if given is None else given
    if not SMALLEST_BLOCK <= size <= LARGEST_BLOCK:
        raise UsageError(f"blocks have {SMALLEST_BLOCK:,} to {LARGEST_BLOCK:,} bytes, not {size:,}")
    return size


def moment(text: str) -> int:
    """Microseconds since 1970 of an RFC 3339 time.

    Raises:
        UsageError: it is none, or from before 1970.
    """
    try:
        given = datetime.fromisoformat(text)
        since = given.replace(tzinfo=given.tzinfo or UTC).astimezone(UTC) - _EPOCH
    except (ValueError, OverflowError):
        since = timedelta(-1)
    if since < timedelta():
        raise UsageError(f"{text[:80]!r} is no time", hint="write it as 2026-11-20T10:30:00Z")
    return since // timedelta(microseconds=1)
