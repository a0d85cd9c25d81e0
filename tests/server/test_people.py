"""Logging in and out, tokens, sessions, the own account, users."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from lepton_ai import wire
from lepton_ai.server.app import create_app
from lepton_ai.server.settings import ServerSettings
from tests.server.conftest import ADDRESS, PASSWORD, by_session, by_token
from tests.server.databases import everywhere

LOGIN = {"user": "ana", "password": PASSWORD}
NEW = "a brand new password"

pytestmark = pytest.mark.usefixtures("database")


def _told(answer: Any, status: int = 200) -> Any:
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def test_a_session_lives_in_a_cookie_that_scripts_cannot_read(server: TestClient) -> None:
    answer = server.post("/api/v1/login", json=LOGIN)
    told = msgspec.json.decode(answer.content, type=wire.LoggedIn)
    assert (told.user, told.admin, told.scopes) == ("ana", True, ("read", "write", "admin"))
    cookie = answer.headers["set-cookie"].lower()
    assert cookie.startswith("lepton_ai_session=lai_")
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    assert answer.headers["cache-control"] == "no-store"
    assert _told(server.get("/api/v1/me")) == {
        "user": "ana",
        "admin": True,
        "scopes": ["read", "write", "admin"],
    }


def test_over_tls_the_cookie_is_this_hosts_alone(server: TestClient) -> None:
    answer = server.post("https://127.0.0.1:8750/api/v1/login", json=LOGIN)
    assert answer.headers["set-cookie"].startswith("__Host-lepton_ai_session=")
    assert "secure" in answer.headers["set-cookie"].lower()
    assert "max-age" in answer.headers["strict-transport-security"]


def test_a_browsers_change_needs_its_csrf_token(server: TestClient) -> None:
    browser = by_session(server, "ana", PASSWORD)
    right = browser.headers.pop("X-CSRF-Token")
    for wrong in (None, "", "x", right[:-1], right.upper() + "ü"):
        headers = {} if wrong is None else {"X-CSRF-Token": wrong.encode()}
        answer = browser.post("/api/v1/tokens", json={"name": "x"}, headers=headers)
        assert (answer.status_code, answer.json()["kind"]) == (403, "forbidden")
    _told(browser.post("/api/v1/tokens", json={"name": "x"}, headers={"X-CSRF-Token": right}), 201)


@pytest.mark.parametrize("path", ["/api/v1/login", "/api/v1/login/token"])
def test_a_wrong_name_and_a_wrong_password_are_told_alike(server: TestClient, path: str) -> None:
    token = {"token": {"name": "x"}}
    wrong = [
        server.post(path, json={"user": user, "password": password} | token)
        for user, password in (("ana", "wrong password"), ("nobody", "wrong password"), ("ana", ""))
    ]
    assert {answer.status_code for answer in wrong} == {401}
    assert len({answer.json()["detail"] for answer in wrong}) == 1
    assert not any("set-cookie" in answer.headers for answer in wrong)


@everywhere
def test_guessing_is_stopped_and_an_administrator_unlocks(server: TestClient, ana: TestClient) -> None:
    _told(ana.post("/api/v1/users", json={"name": "bob", "password": NEW}), 201)
    statuses = [
        server.post("/api/v1/login", json={"user": "bob", "password": "no"}).status_code for _ in range(7)
    ]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    locked = server.post("/api/v1/login", json={"user": "bob", "password": NEW})
    assert (locked.status_code, locked.json()["kind"]) == (429, "too-many-requests")
    assert int(locked.headers["retry-after"]) > 0
    _told(ana.post("/api/v1/users/bob/unlock"), 204)
    _told(server.post("/api/v1/login", json={"user": "bob", "password": NEW}))


def test_logins_from_an_address_are_limited(founded: ServerSettings) -> None:
    few = msgspec.structs.replace(founded, login_rate=0.01, login_burst=2)
    with TestClient(create_app(few), base_url=ADDRESS) as client:
        answers = [client.post("/api/v1/login", json=LOGIN) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert answers[2].headers["retry-after"] == "100"


def test_logging_out_ends_what_was_used(server: TestClient) -> None:
    browser, program = by_session(server, "ana", PASSWORD), by_token(server, "ana", PASSWORD)
    cookie = browser.cookies["lepton_ai_session"]
    _told(browser.post("/api/v1/logout"), 204)
    assert "lepton_ai_session" not in browser.cookies
    assert server.get("/api/v1/me", headers={"Cookie": f"lepton_ai_session={cookie}"}).status_code == 401
    _told(program.get("/api/v1/me"))
    _told(program.post("/api/v1/logout"), 204)
    assert program.get("/api/v1/me").status_code == 401


@pytest.mark.parametrize(
    "header", ["Basic YTpi", "Bearer", "Bearer lai_x", "Bearer lai_0_0", "bearer ü", "x"]
)
def test_what_is_no_token_is_nobody(server: TestClient, header: str) -> None:
    answer = server.get("/api/v1/me", headers={"Authorization": header.encode()})
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, 'Bearer realm="lepton-ai"')


@everywhere
def test_tokens_are_made_listed_and_revoked(server: TestClient) -> None:
    browser = by_session(server, "ana", PASSWORD)
    made = [_told(browser.post("/api/v1/tokens", json={"name": f"t{n}", "days": 1}), 201) for n in range(3)]
    listed = _told(browser.get("/api/v1/tokens?limit=2"))
    rest = _told(browser.get("/api/v1/tokens", params={"after": listed["next"]}))
    found = listed["tokens"] + rest["tokens"]
    assert {token["id"] for token in found} == {token["id"] for token in made}
    assert not any("secret" in token for token in found)
    one = made[0]
    headers = {"Authorization": f"Bearer {one['secret']}"}
    _told(server.get("/api/v1/me", headers=headers))
    _told(browser.delete(f"/api/v1/tokens/{one['id']}"), 204)
    assert server.get("/api/v1/me", headers=headers).status_code == 401
    assert browser.delete("/api/v1/tokens/nothing").status_code == 404


def test_a_token_does_what_its_scopes_say(server: TestClient, ana: TestClient) -> None:
    reads = by_token(server, "ana", PASSWORD, ("read",))
    assert _told(reads.get("/api/v1/me"))["scopes"] == ["read"]
    for answer in (reads.get("/api/v1/users"), reads.delete("/api/v1/sessions")):
        assert (answer.status_code, answer.json()["kind"]) == (403, "forbidden")
    refused = ana.post("/api/v1/tokens", json={"name": "x"})
    assert (refused.status_code, refused.json()["detail"]) == (403, "a token cannot make tokens")


def test_a_user_is_no_administrator(server: TestClient, ana: TestClient) -> None:
    _told(ana.post("/api/v1/users", json={"name": "bob", "password": NEW}), 201)
    token = {"name": "x", "scopes": ["admin"]}
    refused = server.post("/api/v1/login/token", json={"user": "bob", "password": NEW, "token": token})
    assert refused.status_code == 403
    bob = by_session(server, "bob", NEW)
    assert _told(bob.get("/api/v1/me")) == {"user": "bob", "admin": False, "scopes": ["read", "write"]}
    for method, path in (("GET", "/users"), ("POST", "/users"), ("GET", "/users/ana"), ("PATCH", "/users/bob"),
                         ("PUT", "/users/ana/password"), ("POST", "/users/bob/unlock")):  # fmt: skip
        body = {"name": "eve", "password": NEW} if method == "POST" else {"admin": True, "new": NEW}
        assert bob.request(method, f"/api/v1{path}", json=body).status_code == 403, path


def test_who_stops_being_an_administrator_loses_it_at_once(server: TestClient, ana: TestClient) -> None:
    _told(ana.post("/api/v1/users", json={"name": "bob", "password": NEW, "admin": True}), 201)
    bob = by_token(server, "bob", NEW)
    _told(bob.get("/api/v1/users"))
    _told(ana.patch("/api/v1/users/bob", json={"admin": False}))
    assert bob.get("/api/v1/users").status_code == 403
    last = ana.patch("/api/v1/users/ana", json={"admin": False})
    assert (last.status_code, last.json()["kind"]) == (409, "in-use")


def test_a_deactivated_user_is_out_at_once(server: TestClient, ana: TestClient) -> None:
    _told(ana.post("/api/v1/users", json={"name": "bob", "password": NEW}), 201)
    token, browser = by_token(server, "bob", NEW, ("read",)), by_session(server, "bob", NEW)
    assert _told(ana.patch("/api/v1/users/bob", json={"active": False}))["active"] is False
    assert [client.get("/api/v1/me").status_code for client in (token, browser)] == [401, 401]
    assert server.post("/api/v1/login", json={"user": "bob", "password": NEW}).status_code == 401
    _told(ana.patch("/api/v1/users/bob", json={"active": True}))
    _told(server.post("/api/v1/login", json={"user": "bob", "password": NEW}))


def test_a_user_is_changed_only_as_it_was_read(ana: TestClient) -> None:
    made = ana.post("/api/v1/users", json={"name": "bob", "password": NEW})
    assert made.headers["location"] == "/api/v1/users/bob"
    tag = made.headers["etag"]
    assert ana.get("/api/v1/users/bob").headers["etag"] == tag == made.json()["etag"]
    changed = ana.patch("/api/v1/users/bob", json={"admin": True}, headers={"If-Match": tag})
    assert _told(changed)["admin"] is True
    late = ana.patch("/api/v1/users/bob", json={"admin": False}, headers={"If-Match": tag})
    assert (late.status_code, late.json()["kind"]) == (412, "lost-race")
    assert ana.patch("/api/v1/users/bob", json={"admin": False, "active": False}).status_code == 400


@everywhere
def test_users_are_listed_page_by_page(ana: TestClient) -> None:
    for name in ("bob", "cyd", "dee"):
        _told(ana.post("/api/v1/users", json={"name": name, "password": NEW}), 201)
    names: list[str] = []
    after: dict[str, str] = {}
    while True:
        page = _told(ana.get("/api/v1/users", params={"limit": "2"} | after))
        names += [user["name"] for user in page["users"]]
        if "next" not in page:
            break
        after = {"after": page["next"]}
    assert names == ["ana", "bob", "cyd", "dee"]
    assert ana.post("/api/v1/users", json={"name": "bob", "password": NEW}).status_code == 409
    assert ana.get("/api/v1/users/nobody").status_code == 404


@pytest.mark.parametrize("password", ["", "short", "aaaaaaaaaaaa", "x" * 2000])
def test_a_weak_password_is_refused_everywhere(ana: TestClient, password: str) -> None:
    for answer in (
        ana.post("/api/v1/users", json={"name": "bob", "password": password}),
        ana.put("/api/v1/users/ana/password", json={"new": password}),
        ana.put("/api/v1/me/password", json={"new": password, "old": PASSWORD}),
    ):
        assert (answer.status_code, answer.json()["kind"]) == (400, "usage")
        assert not password or password not in answer.text


def test_the_own_password_is_changed_with_the_old_one(server: TestClient) -> None:
    browser, other = by_session(server, "ana", PASSWORD), by_session(server, "ana", PASSWORD)
    token = by_token(server, "ana", PASSWORD)
    assert browser.put("/api/v1/me/password", json={"new": NEW, "old": "wrong"}).status_code == 401
    assert browser.put("/api/v1/me/password", json={"new": NEW}).status_code == 401
    _told(browser.put("/api/v1/me/password", json={"new": NEW, "old": PASSWORD}), 204)
    assert [client.get("/api/v1/me").status_code for client in (browser, other, token)] == [200, 401, 200]
    assert server.post("/api/v1/login", json=LOGIN).status_code == 401
    _told(server.post("/api/v1/login", json=LOGIN | {"password": NEW}))


def test_sessions_are_listed_and_ended(server: TestClient) -> None:
    mine, other, third = (by_session(server, "ana", PASSWORD) for _ in range(3))
    listed = _told(mine.get("/api/v1/sessions"))["sessions"]
    assert len(listed) == 3
    (current,) = [session for session in listed if session["current"]]
    assert current["device"] == "testclient"
    (gone,) = [s["id"] for s in _told(other.get("/api/v1/sessions"))["sessions"] if s["current"]]
    _told(mine.delete(f"/api/v1/sessions/{gone}"), 204)
    assert (other.get("/api/v1/me").status_code, third.get("/api/v1/me").status_code) == (401, 200)
    _told(mine.delete("/api/v1/sessions"), 204)
    assert (third.get("/api/v1/me").status_code, mine.get("/api/v1/me").status_code) == (401, 200)
    assert mine.delete("/api/v1/sessions/nothing").status_code == 404
