"""Bodies that are read in a thread, straight into a struct: they may be large, and the event loop must not wait.

They come as JSON, or packed and squeezed as our own clients send them (:mod:`lepton_ai.squeezing`).
"""

from __future__ import annotations

from typing import Annotated, Any, NamedTuple, TypeVar

import msgspec
from fastapi import Depends, Request

from lepton_ai import squeezing
from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError
from lepton_ai.server import bodies
from lepton_ai.server.bodies import Form
from lepton_ai.server.problems import Refused
from lepton_ai.server.running import Here

T = TypeVar("T")


class Came(NamedTuple):
    """A body as it came; ``form`` is that of the answer that is asked for, ``most`` the bytes that it may open to."""

    data: bytes
    packed: bool
    squeezed: bool
    most: int
    form: Form


async def _body(request: Request, here: Here) -> Came:
    packed = request.headers.get("content-type", "").partition(";")[0].strip() == squeezing.PACKED
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in ("identity", squeezing.ZSTD):
        raise Refused(
            415, f"bodies are not taken as {coding[:40]!r}", headers={"Accept-Encoding": squeezing.ZSTD}
        )
    data = await request.body()
    return Came(
        data, packed, coding == squeezing.ZSTD, here.settings.body_limit, bodies.form_asked_for(request)
    )


Raw = Annotated[Came, Depends(_body)]
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


def read(came: Came, kind: type[T]) -> T:
    """A body as a struct.

    Raises:
        UsageError: it is none; says where. Or it opens to more than a body may have.
    """
    data = squeezing.unsqueeze(came.data, came.most) if came.squeezed else came.data
    try:
        if came.packed:
            return msgspec.msgpack.decode(data, type=ready(kind))
        return msgspec.json.decode(data or b"{}", type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as problem:
        raise UsageError(f"the body of the request does not fit: {problem}") from problem
