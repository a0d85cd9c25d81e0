"""The canonical record of a version, the ids that hash it, and how people's values become plain ones."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged, TooNew, UsageError
from lepton_ai.types import Attachment, FileEntry, Record

MAX_NESTING = 32
SCHEMAS = (1, 2)
"""What this version reads: 2 is a record whose operation has an outcome beside it."""
TRAINING, PATCH, PACKAGES = "(training history)", "(code patch)", "(packages)"
OUTCOME, GIVEN = "(account of the merge)", "(given for the merge)"
"""How attachments are called for people."""


def canonical(record: Record) -> bytes:
    """JSON with sorted keys and no spaces, defaults left out: the bytes that the version id hashes."""
    return msgspec.json.encode(record, order="sorted")


def version_id(record: Record) -> bytes:
    """SHA-256 of the canonical record: 32 bytes."""
    return hashlib.sha256(canonical(record)).digest()


def content_id(files: Iterable[FileEntry]) -> str:
    """Hexadecimal SHA-256 over the files alone: path, digest, mode and link target, sorted by path."""
    plain = sorted((f.path, f.sha256, f.executable, f.target) for f in files)
    return hashlib.sha256(msgspec.json.encode(plain)).hexdigest()


def parse_record(data: bytes, expected: bytes) -> Record:
    """Read a canonical record back.

    Raises:
        Damaged: it is not what the id says.
        TooNew: a later version of the tool wrote it.
    """
    if hashlib.sha256(data).digest() != expected:
        raise Damaged(
            f"the record of version {expected.hex()[:12]} was changed",
            hint="restore the history from a backup",
        )
    try:
        record = msgspec.json.decode(data, type=ready(Record))
    except msgspec.ValidationError as problem:
        raise TooNew(
            f"the record of version {expected.hex()[:12]} has an unknown form", hint="use a newer lepton-ai"
        ) from problem
    if record.schema not in SCHEMAS:
        raise TooNew(
            f"version {expected.hex()[:12]} has record schema {record.schema}", hint="use a newer lepton-ai"
        )
    return record


def attachments(record: Record) -> tuple[tuple[str, Attachment], ...]:
    """Every larger thing that a record refers to beside its files, each with a label for people."""
    found = (
        (TRAINING, record.training),
        (PATCH, record.code.patch if record.code else None),
        (PACKAGES, record.environment.packages if record.environment else None),
        (OUTCOME, record.operation.outcome),
        *((GIVEN, attachment) for attachment in record.operation.given),
    )
    return tuple((label, attachment) for label, attachment in found if attachment is not None)


def digests(record: Record) -> set[bytes]:
    """SHA-256 of everything that a record refers to: files and attachments."""
    found = {bytes.fromhex(entry.sha256) for entry in record.files if entry.sha256}
    return found | {bytes.fromhex(attachment.sha256) for _, attachment in attachments(record)}


def text(value: object, where: str) -> str:
    """A text that can be kept.

    Raises:
        UsageError: it is none, or holds half a character; the message says ``where``.
    """
    if not isinstance(value, str):
        raise UsageError(f"{where} is a {type(value).__name__}, not a text", hint="give a str")
    plain = str.__str__(value)  # of an enum's member its value, where str() gives its name
    try:
        plain.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"{where} is not text that can be kept: {plain!r}", hint="write it in UTF-8"
        ) from None
    return plain


def timestamp(microseconds: int) -> str:
    """RFC 3339 in UTC with microseconds, of microseconds since 1970."""
    seconds, rest = divmod(microseconds, 1_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"


def plain_params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    """Parameters as plain JSON values: numpy scalars become numbers, paths text, tuples lists.

    JSON has no NaN and no infinities: they become the words "NaN", "Infinity", "-Infinity", and stay words.

    Raises:
        UsageError: a value is of another kind; the message names its key.
    """
    return {_key(key): _plain(value, f"param {key!r}", 0) for key, value in _items(params, "params")}


def plain_metrics(metrics: Mapping[str, Any] | None) -> dict[str, float | str]:
    """Metrics as finite numbers; NaN and infinities as the words "NaN", "Infinity", "-Infinity".

    Raises:
        UsageError: a value is not one number; the message names its key.
    """
    result: dict[str, float | str] = {}
    for key, value in _items(metrics, "metrics"):
        single = hasattr(value, "item") and getattr(value, "size", None) == 1
        number = _plain(value.item() if single else value, f"metric {key!r}", 0)
        if isinstance(number, str) and number in _WORDS:
            result[_key(key)] = number
        elif isinstance(number, bool) or not isinstance(number, int | float):
            raise UsageError(
                f"metric {key!r} is not a number: {value!r}", hint="pass texts and lists as params"
            )
        else:
            result[_key(key)] = float(number)
    return result


_WORDS = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


def metric_values(metrics: Mapping[str, float | str]) -> dict[str, float]:
    """Metrics as numbers again."""
    return {key: _WORDS[value] if isinstance(value, str) else float(value) for key, value in metrics.items()}


def _items(given: Mapping[str, Any] | None, what: str) -> Iterable[tuple[str, Any]]:
    if given is not None and not isinstance(given, Mapping):
        raise UsageError(f"{what} is a {type(given).__name__}, not a dict", hint="give names with values")
    return (given or {}).items()


def _key(key: object) -> str:
    if not isinstance(key, str) or not key:
        raise UsageError(f"names of params and metrics are texts, not {key!r}")
    return text(key, "the name of a param or metric")


def _plain(value: Any, where: str, depth: int) -> Any:  # noqa: C901, PLR0911  (one answer a kind of value)
    if depth > MAX_NESTING:
        raise UsageError(f"{where} is nested too deeply")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return text(value, where)
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        raise UsageError(f"{where} is too large a number: {value}", hint="write it as a text")
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, int | float):
        return float(value) if isinstance(value, float) else int(value)
    if isinstance(value, PurePath):
        return text(str(value), where)
    if isinstance(value, Mapping):
        return _plain_mapping(value, where, depth)
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item, where, depth + 1) for item in value]
    if isinstance(value, datetime):
        return value.isoformat()
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return _plain(value.item(), where, depth + 1)
    if hasattr(value, "tolist"):
        return _plain(value.tolist(), where, depth + 1)
    raise UsageError(
        f"{where} is a {type(value).__name__}, which cannot be kept",
        hint="pass numbers, texts, lists or dicts",
    )


def _plain_mapping(value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
    result = {
        _key(key if isinstance(key, str) else str(key)): _plain(item, where, depth + 1)
        for key, item in value.items()
    }
    if len(result) != len(value):
        raise UsageError(f"{where} has two keys that are written alike", hint="give them different names")
    return result
