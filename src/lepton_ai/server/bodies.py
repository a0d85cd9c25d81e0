"""Bodies as the structs of :mod:`lepton_ai.wire`, and how they look in the OpenAPI document.

A route says ``body: Sent[wire.NewRepository]`` and ``-> Told[wire.RepositoryInfo]``. Large answers are written faster
by :func:`told`, which encodes straight from the struct; the annotation stays for the document.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple, TypeVar, cast

import msgspec
from fastapi import Body, Depends, Request
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError, core_schema
from starlette.responses import Response

from lepton_ai import squeezing
from lepton_ai.decodable import ready

MARK = "x-lepton-ai-struct"
"""In a schema: stands for a struct until the document is finished."""

STRUCTS: dict[str, Any] = {}
"""Every type that a route takes or gives, by the name under which it is marked."""


class _Struct:
    """Makes pydantic take a type of msgspec as it is."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        def read(value: Any) -> Any:
            try:
                msgspec.json.encode(
                    value
                )  # halves of characters, which Python's reader lets through, are no text
                return msgspec.convert(value, ready(source))
            except (msgspec.ValidationError, UnicodeEncodeError, RecursionError) as problem:
                words = str(problem).replace("{", "(").replace("}", ")")
                raise PydanticCustomError("wire", words) from problem

        name = marked(source)
        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(msgspec.to_builtins),
            metadata={MARK: name},
        )

    def __get_pydantic_json_schema__(
        self, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {MARK: schema["metadata"][MARK]}


T = TypeVar("T")
Sent = Annotated[T, _Struct(), Body()]
"""The body of a request."""
Told = Annotated[T, _Struct()]
"""The body of an answer."""


class Form(NamedTuple):
    """How an answer travels: packed rather than JSON, squeezed where that saves something."""

    packed: bool = False
    squeezed: bool = False


PLAIN = Form()


def form_asked_for(request: Request) -> Form:
    """The form that who asks says to understand."""
    packed = squeezing.PACKED in request.headers.get("accept", "")
    codings = [coding.strip() for coding in request.headers.get("accept-encoding", "").split(",")]
    return Form(packed, squeezing.ZSTD in codings)


Shape = Annotated[Form, Depends(form_asked_for)]
"""A parameter of a route: the form of its answer."""


def told(value: T, status: int = 200, headers: Mapping[str, str] | None = None, form: Form = PLAIN) -> T:
    """``value`` (a struct) as the answer, with a status and headers, in a form.

    For a type checker it stays what it is, so that a route can say what it tells; for FastAPI it is a finished answer.
    What is squeezed must hold no secret beside what a caller chose: its length would tell of it.
    """
    told_headers = dict(headers or {})
    data = msgspec.msgpack.encode(value) if form.packed else msgspec.json.encode(value)
    small = squeezing.squeeze(data) if form.squeezed else None
    if small is not None:
        told_headers["Content-Encoding"] = squeezing.ZSTD
    media_type = squeezing.PACKED if form.packed else squeezing.JSON
    return cast("T", Response(data if small is None else small, status, told_headers, media_type))


def marked(source: Any) -> str:
    """The mark of a type, which the document then has."""
    name = f"{source.__module__}.{source.__qualname__}" if isinstance(source, type) else str(source)
    STRUCTS[name] = source
    return name
