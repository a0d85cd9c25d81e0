"""Nothing is told to whoever is not logged in: asked from the table of routes, so that none is forgotten."""

from __future__ import annotations

from starlette.testclient import TestClient

from lepton_ai.server import auth, openapi


def _all(client: TestClient) -> list[tuple[str, str]]:
    document = client.app.openapi()  # type: ignore[attr-defined]
    return [(path, method) for path, method, _ in openapi.operations(document)]


def test_every_route_needs_a_login(closed: TestClient) -> None:
    for path, method in _all(closed):
        if path in auth.OPEN:
            continue
        answer = closed.request(method, path.replace("{", "").replace("}", ""))
        assert (answer.status_code, answer.json()["kind"]) == (401, "unauthenticated"), (path, method)


def test_what_is_not_there_is_not_told_either(closed: TestClient) -> None:
    for path in (
        "/api/v1/nowhere",
        "/api/v1/",
        "/api",
        "/",
        "/api/v1/login/",
        "//healthz",
        "/api/v1/../v1/x",
    ):
        assert closed.get(path).status_code == 401, path


def test_a_slash_too_many_is_another_address(ana: TestClient) -> None:
    for path in ("/api/v1/users/", "/api/v1/me/", "/api/v1/nowhere/", "/docs/"):
        answer = ana.get(path, follow_redirects=False)
        assert (answer.status_code, answer.json()["kind"]) == (404, "not-found"), path


def test_health_needs_no_login_and_is_not_ready_before_the_start(closed: TestClient) -> None:
    assert closed.get("/healthz").json() == {"status": "ok"}
    answer = closed.get("/readyz")
    assert (answer.status_code, answer.json()["database"]) == (503, "closed")
