"""Structured logs: a line of JSON for everything that happens, without secrets."""

from __future__ import annotations

import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, TextIO

import msgspec

from lepton_ai.errors import LeptonError

ROOT = "lepton_ai"
EXTRAS = (
    "request_id", "method", "path", "route", "status", "seconds", "bytes", "client", "user", "problem", "job", "kind",
)  # fmt: skip
"""What a record may carry beside its message."""

_SECRETS = (
    (re.compile(r"lai_([A-Za-z0-9]{1,64})_[A-Za-z0-9_-]+"), r"lai_\1_***"),
    (re.compile(r"://([^/\s:@]*):[^/\s@]*@"), r"://\1:***@"),
    (re.compile(r"(?i)\b(password|secret|passwd|pwd|token)(['\"]?\s*[=:]\s*)['\"]?[^\s'\",}]+"), r"\1\2***"),
    (
        re.compile(r"(?i)\b(X-Amz-(?:Signature|Credential|Security-Token)|sig|Signature)=[^&\s'\"]+"),
        r"\1=***",
    ),
)


def without_secrets(text: str) -> str:
    """``text`` with tokens, passwords in addresses and signatures of presigned addresses made unreadable."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Lines(logging.Formatter):
    """A record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "at": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": without_secrets(record.getMessage()),
            "process": record.process,
        }
        line |= {name: value for name in EXTRAS if (value := getattr(record, name, None)) is not None}
        if record.exc_info:
            line |= _of_error(record.exc_info[1], self.formatException(record.exc_info))
        return msgspec.json.encode(line).decode()


def told(problem: LeptonError) -> str:
    """An error that we know, on one line."""
    hint = f" ({problem.hint})" if problem.hint else ""
    return without_secrets(" ".join(f"{problem.kind}: {problem.message}{hint}".split()))


def _of_error(problem: BaseException | None, traceback: str) -> dict[str, str]:
    """What to say of an error: one that we know (a full disk, say) needs no traceback."""
    if isinstance(problem, LeptonError):
        return {"problem": told(problem)}
    return {"traceback": without_secrets(traceback)}


def install(level: str, stream: TextIO | None = None) -> None:
    """Write the logs of this process to ``stream`` (standard error), uvicorn's too."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(Lines())
    for name in ("", ROOT, "uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi"):
        logger = logging.getLogger(name)
        logger.handlers = [handler] if name == "" else []
        logger.propagate = True
        logger.setLevel(logging.WARNING if name in {"", "uvicorn.access"} else level.upper())
