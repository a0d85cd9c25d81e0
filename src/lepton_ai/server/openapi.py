"""The OpenAPI document: FastAPI's, with the structs of the wire, what logs in, and how errors look."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.json_schema import PydanticJsonSchemaWarning

from lepton_ai import wire
from lepton_ai.server import auth, bodies, examples, problems

SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "An API token: lai_…"},
    "session": {
        "type": "apiKey",
        "in": "cookie",
        "name": auth.cookie_name("https"),
        "description": f"A browser's session; changes also need the header {auth.CSRF_HEADER}.",
    },
}
TAGS = {
    "login": "Logging in and out",
    "me": "Who asks",
    "tokens": "One's own API tokens",
    "sessions": "One's own sessions in browsers",
    "users": "People, for administrators",
    "repositories": "The repositories of the server",
    "versions": "Versions: immutable snapshots of a model",
    "branches": "Branches: movable lines of versions",
    "tags and aliases": "Tags (fixed) and aliases (movable) name versions",
    "files": "The files of versions",
    "tensors": "The tensors in versions",
    "diffs": "What lies between versions",
    "merges": "Merging weights",
    "history": "Who moved what, when and why",
    "events": "What happens, as it happens",
    "sync": "What clients use to push, pull and clone",
    "jobs": "Work that goes on after the answer",
    "health": "For whoever runs the server",
}
PARAMETERS = {
    "message": "What the new version says of itself",
    "session": "The session's id",
    "token": "The token's id",
    "why": "Why, for the log",
}
"""What parameters are that do not say so themselves."""
ANSWERS = {
    "NotLoggedIn": "Nobody that the server knows: log in",
    "TooMany": "Too many requests: Retry-After says when the next is welcome",
    "Refused": "The request is wrong, is not allowed, or was too late: `kind` says which",
    "Failed": "The server or what it stands on failed: `kind` says which",
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
    with (
        warnings.catch_warnings()
    ):  # a body that is a struct may be left out; pydantic cannot write the default down
        warnings.simplefilter("ignore", PydanticJsonSchemaWarning)
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=[{"name": name, "description": words} for name, words in TAGS.items()],
            license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        )
    types = {"Problem": wire.Problem, **bodies.STRUCTS}
    schemas, parts = msgspec.json.schema_components(
        types.values(), ref_template="#/components/schemas/{name}"
    )
    by_name = dict(zip(types, schemas, strict=True))
    for part in parts.values():
        if "description" in part:
            part["description"] = inspect.cleandoc(part["description"]).replace("``", "`")
    for name, kind in types.items():
        part = parts.get(by_name[name].get("$ref", "").rpartition("/")[2])
        if part is not None and examples.fits(kind, made := examples.example(kind)):
            part["examples"] = [made]
    _tuples([schemas, parts])
    _fill(document, by_name)
    components = document.setdefault("components", {})
    components["schemas"] = parts
    components["securitySchemes"] = SECURITY
    components["headers"] = {
        "RequestId": {"description": "Under which the server's log has it", "schema": {"type": "string"}}
    }
    components["responses"] = {name: _problem(words) for name, words in ANSWERS.items()}
    for path, _, operation in operations(document):
        _finish(path, operation)
    return document


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Path, method and operation, for all of ``document``."""
    for path, item in document.get("paths", {}).items():
        yield from ((path, method, item[method]) for method in sorted(METHODS & item.keys()))


def _finish(path: str, operation: dict[str, Any]) -> None:
    operation["description"] = operation.get("description", "").replace("``", "`")
    answers = operation["responses"]
    answers.pop("422", None)  # FastAPI's own; ours is among the 4XX
    for status, told in answers.items():
        if told.get("description") == "Successful Response":
            told["description"] = HTTPStatus(int(status)).phrase
        told.setdefault("headers", {"X-Request-ID": {"$ref": "#/components/headers/RequestId"}})
    answers |= {
        "4XX": {"$ref": "#/components/responses/Refused"},
        "5XX": {"$ref": "#/components/responses/Failed"},
    }
    if path in auth.OPEN:
        operation["security"] = []
    else:
        operation["security"] = [{"token": []}, {"session": []}]
        answers["401"] = {"$ref": "#/components/responses/NotLoggedIn"}
    if path.startswith(wire.PREFIX):
        answers["429"] = {"$ref": "#/components/responses/TooMany"}
    for parameter in operation.get("parameters", []):
        _without_null(parameter)
        if parameter["name"] in PARAMETERS:
            parameter.setdefault("description", PARAMETERS[parameter["name"]])


def _problem(words: str) -> dict[str, Any]:
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    return {"description": words, "content": content}


def _without_null(parameter: dict[str, Any]) -> None:
    """A parameter that is absent is absent: there is no null in addresses and headers."""
    schema = parameter["schema"]
    kinds = [kind for kind in schema.get("anyOf", []) if kind != {"type": "null"}]
    if len(kinds) == 1:
        del schema["anyOf"]
        schema |= kinds[0]


def _tuples(node: Any) -> None:
    """Tuples in words that every reader knows: so many items, each one of these. Many take `prefixItems` wrongly."""
    if isinstance(node, dict) and "prefixItems" in node:
        node["items"] = {"anyOf": node.pop("prefixItems")}
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list | tuple) else ():
        _tuples(part)


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
