"""The OpenAPI document: FastAPI's, with the structs of the wire, what logs in, and how errors look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from lepton_ai import wire
from lepton_ai.server import auth, bodies, problems

SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token: lai_…"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": auth.cookie_name("https"),
        "description": f"A browser's session; changes also need the header {auth.CSRF_HEADER}.",
    },
}
PROBLEMS = {
    "4XX": "The request is wrong, is not allowed, or was too late: `kind` says which",
    "5XX": "The server or what it stands on failed: `kind` says which",
}
METHODS = frozenset({"get", "put", "post", "delete", "patch", "head", "options"})


def install(app: FastAPI) -> None:
    """Let ``app`` tell the finished document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = build(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]  # FastAPI's documented way


def build(app: FastAPI) -> dict[str, Any]:
    """The document for the routes of ``app``."""
    document = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=app.openapi_tags,
    )
    types = [wire.Problem, *bodies.STRUCTS.values()]
    schemas, parts = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    by_name = dict(zip(["Problem", *bodies.STRUCTS], schemas, strict=True))
    components = document.setdefault("components", {})
    _fill(document, by_name)
    components["schemas"] = parts
    components["securitySchemes"] = SECURITY
    for path, method, operation in operations(document):
        _finish(path, method, operation)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation, for all of ``document``."""
    for path, item in document.get("paths", {}).items():
        yield from ((path, method, item[method]) for method in METHODS & item.keys())


def _finish(path: str, method: str, operation: dict[str, Any]) -> None:
    if path not in auth.OPEN:
        operation["security"] = [{"token": []}, {"session": []}]
    answers = operation["responses"]
    answers.pop("422", None)  # FastAPI's own; ours is among the 4XX
    for status, words in PROBLEMS.items():
        content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        answers[status] = {"description": words, "content": content}
    if method == "get" and path == "/healthz":
        del answers["4XX"]


def _fill(node: Any, by_name: dict[str, Any]) -> None:
    """Put the schema of a struct where its mark is, in place."""
    if isinstance(node, list):
        for part in node:
            _fill(part, by_name)
    elif isinstance(node, dict):
        name = node.pop(bodies.MARK, None)
        if name is not None:
            node.pop("title", None)
            node.update(by_name[name])
        for part in node.values():
            _fill(part, by_name)
