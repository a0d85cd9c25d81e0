"""The OpenAPI document as a page: no script, and nothing from other hosts."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape
from typing import Any

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from lepton_ai import wire
from lepton_ai.errors import NotFound
from lepton_ai.server import openapi
from lepton_ai.server.running import Here

router = APIRouter(include_in_schema=False)

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
code, pre { font: 14px/1.45 ui-monospace, monospace }
pre { overflow-x: auto; border-left: 3px solid; padding-left: 1rem; opacity: .85 }
h2 { margin-top: 3rem } details { margin: .4rem 0 } summary { cursor: pointer }
b { display: inline-block; min-width: 4.5rem } td { padding-right: 1.5rem; vertical-align: top }
"""
_SHOWN = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
POLICY = f"default-src 'none'; frame-ancestors 'none'; style-src 'sha256-{_SHOWN}'"


@router.get("/docs")
def docs(request: Request, here: Here) -> HTMLResponse:
    """The page. No login: it tells what the OpenAPI document tells.

    Raises:
        NotFound: the server is not to show it.
    """
    if not here.settings.docs:
        raise NotFound("this server shows no page of its API", hint=f"{wire.PREFIX}/openapi.json")
    return HTMLResponse(page(request.app.openapi()), headers={"Content-Security-Policy": POLICY})


def page(document: dict[str, Any]) -> str:
    """The page for a document."""
    info = document["info"]
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{escape(info['title'])} API</title>",
        f"<meta name=viewport content='width=device-width'><style>{STYLE}</style>",
        f"<h1>{escape(info['title'])} API <small>{escape(info['version'])}</small></h1>",
        f"<p>{_prose(info.get('description', ''))}",
        f"<p>The same for programs: <a href='.{wire.PREFIX}/openapi.json'>OpenAPI {document['openapi']}</a>",
    ]
    by_tag: dict[str, list[str]] = {}
    for path, method, operation in openapi.operations(document):
        by_tag.setdefault(operation["tags"][0], []).append(_operation(document, path, method, operation))
    for tag in document.get("tags", []):
        if tag["name"] in by_tag:
            parts.append(f"<h2>{escape(tag['name'].capitalize())}</h2><p>{_prose(tag['description'])}")
            parts += by_tag[tag["name"]]
    return "\n".join(parts)


def _operation(document: dict[str, Any], path: str, method: str, operation: dict[str, Any]) -> str:
    head = f"<b>{method.upper()}</b> <code>{escape(path)}</code> {_prose(operation['summary'])}"
    told = [f"<details><summary>{head}</summary><p>{_prose(operation['description'])}"]
    rows = [
        f"<tr><td><code>{escape(one['name'])}</code><td>{escape(one['in'])}<td>{_prose(one.get('description', ''))}"
        for one in operation.get("parameters", [])
    ]
    if rows:
        told.append(f"<table>{''.join(rows)}</table>")
    told += _bodies(document, "Send", operation.get("requestBody", {}))
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            told += _bodies(document, f"Answer {status}", answer)
    return "\n".join([*told, "</details>"])


def _bodies(document: dict[str, Any], what: str, holder: dict[str, Any]) -> Iterator[str]:
    for media, content in holder.get("content", {}).items():
        schema = content.get("schema", {})
        name = schema.get("$ref", "").rpartition("/")[2]
        described = document["components"]["schemas"].get(name, schema)
        yield f"<p>{escape(what)}: <code>{escape(media)}</code> {_prose(described.get('description', ''))}"
        for example in described.get("examples", []):
            yield f"<pre>{escape(msgspec.json.format(msgspec.json.encode(example)).decode())}</pre>"


def _prose(text: str) -> str:
    """Text with `code` in it."""
    pieces = escape(text, quote=False).split("`")
    if len(pieces) % 2 == 0:
        return "`".join(pieces)
    return "".join(f"<code>{piece}</code>" if place % 2 else piece for place, piece in enumerate(pieces))
