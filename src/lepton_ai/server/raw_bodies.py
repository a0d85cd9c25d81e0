"""Bodies that are read in a thread, straight into a struct: they may be large, and the event loop must not wait."""

from __future__ import annotations

from typing import Annotated, Any, TypeVar

import msgspec
from fastapi import Depends, Request

from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError
from lepton_ai.server import bodies

T = TypeVar("T")


async def _body(request: Request) -> bytes:
    return await request.body()


Raw = Annotated[bytes, Depends(_body)]
"""A parameter of a route: the body as it came."""


def takes(kind: Any) -> dict[str, Any]:
    """What the OpenAPI document says of a route whose body is a ``kind``; for its ``openapi_extra``."""
    schema = {bodies.MARK: bodies.marked(kind)}
    return {"requestBody": {"required": True, "content": {"application/json": {"schema": schema}}}}


def takes_bytes(what: str) -> dict[str, Any]:
    """The same for bytes as they are."""
    schema = {"type": "string", "format": "binary"}
    return {
        "requestBody": {
            "required": True,
            "description": what,
            "content": {"application/octet-stream": {"schema": schema}},
        }
    }


def read(data: bytes, kind: type[T]) -> T:
    """A body as a struct.

    Raises:
        UsageError: it is none; says where.
    """
    try:
        return msgspec.json.decode(data or b"{}", type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UsageError(f"the body of the request does not fit: {problem}") from problem
