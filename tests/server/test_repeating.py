"""A request with an Idempotency-Key that arrives twice is done once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from starlette.testclient import TestClient

from tests.server.conftest import ADDRESS, PASSWORD, by_token
from tests.server.databases import everywhere

KEY = {"Idempotency-Key": "0c9b6e2e"}
NEW = {"owner": "ana", "name": "digits"}
PLACE = "/api/v1/repositories"

pytestmark = pytest.mark.usefixtures("database")


@everywhere
def test_the_second_gets_the_answer_of_the_first(ana: TestClient) -> None:
    first = ana.post(PLACE, json=NEW, headers=KEY)
    again = ana.post(PLACE, json=NEW, headers=KEY)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    for name in ("etag", "location", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)
    assert ana.post(PLACE, json=NEW).status_code == 409, "without the key it is another request"


def test_a_name_is_no_way_round_it(ana: TestClient) -> None:
    """Uploads and commits are done once by themselves; a repository or branch that is called so is not."""
    ana.post(PLACE, json={"owner": "history", "name": "uploads"})
    for place, new in (
        (f"{PLACE}/history/uploads/branches", {"name": "objects/x"}),
        (f"{PLACE}/history/uploads/branches", {"name": "history/x"}),
    ):
        key = {"Idempotency-Key": new["name"]}
        first, again = (ana.post(place, json=new, headers=key) for _ in range(2))
        assert (first.status_code, again.status_code) == (201, 201), again.text
        gone, twice = (ana.delete(f"{place}/{new['name']}", headers=key | {"Idempotency-Key": "d" + new["name"]})
                       for _ in range(2))  # fmt: skip
        assert (gone.status_code, twice.status_code) == (200, 200), twice.text


def test_a_refusal_is_an_answer(ana: TestClient) -> None:
    wrong = NEW | {"name": "no good"}
    first, again = (ana.post(PLACE, json=wrong, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (422, 422)
    assert again.json() == first.json()
    assert again.headers["content-type"] == "application/problem+json"


def test_a_key_is_for_one_request(ana: TestClient, server: TestClient) -> None:
    ana.post(PLACE, json=NEW, headers=KEY)
    other = ana.post(PLACE, json=NEW | {"name": "other"}, headers=KEY)
    assert (other.status_code, other.json()["kind"]) == (400, "usage")
    assert "another request" in other.json()["detail"]
    assert ana.post(PLACE, json=NEW, headers={"Idempotency-Key": "x" * 256}).status_code == 400


def test_another_token_does_not_get_the_answer(ana: TestClient, server: TestClient) -> None:
    ana.post(PLACE, json=NEW, headers=KEY)
    reader = by_token(server, "ana", PASSWORD, ("read",))
    assert reader.post(PLACE, json=NEW, headers=KEY).status_code == 400


def test_a_secret_is_told_once(server: TestClient, ana: TestClient) -> None:
    browser = TestClient(server.app, base_url=ADDRESS)
    session = browser.post("/api/v1/login", json={"user": "ana", "password": PASSWORD}).json()
    headers = KEY | {"X-CSRF-Token": session["csrf"]}
    new = {"name": "ci", "scopes": ["read"], "days": 7}
    first = browser.post("/api/v1/tokens", json=new, headers=headers)
    assert first.json()["secret"].startswith("lai_")
    again = browser.post("/api/v1/tokens", json=new, headers=headers)
    assert (again.status_code, again.json()["kind"]) == (409, "already-exists")
    assert "lai_" not in again.text
    assert len([token for token in ana.get("/api/v1/tokens").json()["tokens"] if token["name"] == "ci"]) == 1


@everywhere
def test_at_once_it_is_done_once(ana: TestClient) -> None:
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: ana.post(PLACE, json=NEW, headers=KEY), range(6)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.text for answer in answers}) == 1


def test_a_body_that_is_too_large_is_refused_as_ever(ana: TestClient) -> None:
    parts = (b"x" * (1 << 20) for _ in range(65))
    assert ana.post(PLACE, content=parts, headers=KEY).status_code == 413


def test_nobody_asks_without_a_login(server: TestClient, ana: TestClient) -> None:
    ana.post(PLACE, json=NEW, headers=KEY)
    stranger = TestClient(server.app, base_url=ADDRESS)
    assert stranger.post(PLACE, json=NEW, headers=KEY).status_code == 401
