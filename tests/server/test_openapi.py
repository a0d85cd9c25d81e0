"""The OpenAPI document: whole, unambiguous, with examples that fit; and the page made from it."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from lepton_ai.server import bodies, examples, openapi
from lepton_ai.server.app import create_app
from lepton_ai.server.settings import ServerSettings
from tests.server.conftest import ADDRESS


@pytest.fixture
def document(closed: TestClient) -> dict[str, Any]:
    found: dict[str, Any] = closed.get("/api/v1/openapi.json").json()
    return found


def test_every_operation_is_explained(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    ids: set[str] = set()
    for path, method, operation in openapi.operations(document):
        where = f"{method} {path}"
        assert operation["summary"], where
        assert operation["description"], where
        assert len(operation["tags"]) == 1, where
        assert operation["tags"][0] in openapi.TAGS, where
        assert {"4XX", "5XX"} <= operation["responses"].keys(), where
        assert ("401" in operation["responses"]) == bool(operation["security"]), where
        assert operation["operationId"] not in ids, where
        ids.add(operation["operationId"])
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), f"{where}: {parameter['name']}"


def test_nothing_is_left_of_the_marks_and_every_reference_leads_somewhere(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert bodies.MARK not in text
    assert "HTTPValidationError" not in text
    for reference in {part.partition('"')[0] for part in text.split('"$ref": "')[1:]}:
        node: Any = document
        for step in reference.removeprefix("#/").split("/"):
            node = node[step]


def test_every_body_has_an_example_that_fits(document: dict[str, Any]) -> None:
    without = [
        name for name, kind in bodies.STRUCTS.items() if not examples.fits(kind, examples.example(kind))
    ]
    assert without == []
    schemas = document["components"]["schemas"]
    assert schemas["NewUser"]["examples"] == [{"name": "bob", "password": "correct horse battery"}]
    assert schemas["NewToken"]["examples"][0]["scopes"] == ["read", "write"]
    for _, _, operation in openapi.operations(document):
        body = (
            operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        )
        if "$ref" in body:
            assert "examples" in schemas[body["$ref"].rpartition("/")[2]]


def test_the_page_shows_everything_without_other_hosts(closed: TestClient, document: dict[str, Any]) -> None:
    answer = closed.get("/docs")
    assert answer.headers["content-type"].startswith("text/html")
    assert "style-src 'sha256-" in answer.headers["content-security-policy"]
    for path, method, operation in openapi.operations(document):
        assert f"<b>{method.upper()}</b> <code>{path}</code>" in answer.text, operation["operationId"]
    assert "<script" not in answer.text
    assert "src=" not in answer.text
    assert "href='http" not in answer.text
    assert answer.text.count("<details>") == answer.text.count("</details>")


def test_the_page_can_be_left_out(settings: ServerSettings) -> None:
    client = TestClient(create_app(msgspec.structs.replace(settings, docs=False)), base_url=ADDRESS)
    assert client.get("/docs").status_code == 404
