"""ETags: a caller changes only what it has read (If-Match), and reads only what has changed (If-None-Match)."""

from __future__ import annotations

import hashlib
from typing import Annotated

import msgspec
from fastapi import Header
from starlette.responses import Response

from lepton_ai.server.problems import Changed

IfMatch = Annotated[
    str | None,
    Header(alias="If-Match", max_length=2000, description="Change it only if it is still this one"),
]
"""A parameter of a route that changes something. Default None: whatever it is."""
IfNoneMatch = Annotated[
    str | None, Header(alias="If-None-Match", max_length=2000, description="304 when it is still this one")
]
"""A parameter of a route that reads something. Default None."""


def etag(*parts: object) -> str:
    """A strong ETag, quotes included, of whatever makes a thing what it is: structs, numbers, texts, bytes."""
    return f'"{hashlib.sha256(msgspec.msgpack.encode(parts)).hexdigest()[:32]}"'


def check(given: str | None, now: str | None, what: str) -> None:
    """See that ``what`` is what the caller read: ``now`` is its ETag, None when it does not exist.

    Raises:
        Changed: it is not (412).
    """
    if given is None or (now is not None and _names(given, now)):
        return
    raise Changed(f"{what} is no longer what you read", hint="read it again, then decide")


def unchanged(given: str | None, now: str) -> Response | None:
    """The answer 304 when the caller has it already, else None."""
    if given is None or not _names(given, now):
        return None
    return Response(status_code=304, headers={"ETag": now})


def _names(given: str, now: str) -> bool:
    return any(part.strip().removeprefix("W/") in {"*", now} for part in given.split(","))
