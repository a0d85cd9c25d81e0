"""What every history refuses, whoever keeps it, and the order of keys: pure functions."""

from __future__ import annotations

import time
from collections.abc import Iterable

from lepton_ai.errors import LostRace, UsageError
from lepton_ai.history.refs.contract import Commit, ContentRow, Move, VersionRow

ID_LENGTH = 32
LARGEST = 1 << 28
"""Bytes of one value or record. Far more than any should have; far less than SQLite can keep."""
_LAST_INTEGER = (1 << 63) - 1
_LAST_CHARACTER = chr(0x10FFFF)


def check_commit(change: Commit) -> None:
    """Refuse a change that no history could keep, before anything of it is written.

    Raises:
        UsageError: a key is empty or moved twice, a text is not Unicode, an id or number does not fit.
    """
    _check_texts("commit", (change.actor, change.act, change.why))
    _check_numbers("commit", (change.at,))
    for key in (*change.checks, *(move.key for move in change.moves)):
        check_key(key)
    if len({move.key for move in change.moves}) < len(change.moves):
        raise UsageError("one commit moves the same key twice", hint="put both moves into one")
    for move in change.moves:
        _check_move(move)
    for version in change.versions:
        _check_version(version)
    for content in (*change.contents, *change.sizes):
        _check_content(content)


def check_key(key: str) -> None:
    """Refuse a text that cannot be a key.

    Raises:
        UsageError: it is empty or not Unicode.
    """
    if not key:
        raise UsageError("a key cannot be empty")
    _check_texts("key", (key,))


def check_range(text: str, limit: int | None) -> None:
    """Refuse a prefix that is not Unicode, or a limit below nothing."""
    _check_texts("prefix", (text,))
    if limit is not None and limit < 0:
        raise UsageError(f"a limit cannot be negative: {limit}")


def lost(key: str) -> LostRace:
    """The error of a compare-and-set on ``key`` that came too late."""
    return LostRace(f"{key!r} was changed by somebody else meanwhile", hint="read it again, then repeat")


def moment(change: Commit) -> int:
    """When the change happened, in microseconds since 1970: what it says, or now when it says 0."""
    return change.at or time.time_ns() // 1000


def above(prefix: str) -> str | None:
    """The smallest text that is greater than every text with this prefix; None when there is none.

    By code points, which is also the order of UTF-8 bytes. Surrogates are stepped over: UTF-8 has none.
    """
    kept = prefix.rstrip(_LAST_CHARACTER)
    if not kept:
        return None
    point = ord(kept[-1])
    return kept[:-1] + chr(0xE000 if point == 0xD7FF else point + 1)


def folders(key: str) -> list[str]:
    """The key itself and its beginnings up to each ``/``, each once: ``a/b`` → ``a/``, ``a/b``."""
    ends = [place + 1 for place, letter in enumerate(key) if letter == "/"]
    return list(dict.fromkeys([*(key[:end] for end in ends), key]))


def hex_range(prefix: str) -> tuple[bytes, bytes] | None:
    """The smallest and the greatest id whose lower-case hexadecimal form starts so; None when none can."""
    if len(prefix) > 2 * ID_LENGTH or not set(prefix) <= set("0123456789abcdef"):
        return None
    return bytes.fromhex(prefix.ljust(2 * ID_LENGTH, "0")), bytes.fromhex(prefix.ljust(2 * ID_LENGTH, "f"))


def _check_move(move: Move) -> None:
    _check_sizes(f"the value of {move.key!r}", (move.value or b"",))


def _check_version(row: VersionRow) -> None:
    ids = (row.id, row.first, *row.parents, *(() if row.jump is None else (row.jump,)))
    if any(len(one) != ID_LENGTH for one in ids):
        raise UsageError(f"the ids of version {row.name!r} must have {ID_LENGTH} bytes")
    if row.revision < 1 or (row.revision == 1) != (row.id == row.first):
        raise UsageError(f"version {row.name!r}: revision 1, and only it, is its own first revision")
    _check_texts("version", (row.name, row.branch))
    _check_numbers("version", (row.revision, row.depth, row.created_at))
    _check_sizes(f"the record of version {row.name!r}", (row.record,))


def _check_content(row: ContentRow) -> None:
    if len(row.sha256) != ID_LENGTH:
        raise UsageError(f"a SHA-256 digest has {ID_LENGTH} bytes, not {len(row.sha256)}")
    _check_numbers("content", (row.size, row.stored))
    _check_sizes("a manifest's id", (row.manifest,))


def _check_texts(what: str, texts: Iterable[str]) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as problem:
            raise UsageError(f"{what}: {text!r} is not Unicode text") from problem


def _check_numbers(what: str, numbers: Iterable[int]) -> None:
    for number in numbers:
        if not -_LAST_INTEGER <= number <= _LAST_INTEGER:
            raise UsageError(f"{what}: the number {number} does not fit into 64 bits")


def _check_sizes(what: str, values: Iterable[bytes]) -> None:
    for value in values:
        if len(value) > LARGEST:
            raise UsageError(f"{what} has {len(value)} bytes; {LARGEST} is the limit")
