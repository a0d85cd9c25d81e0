"""The whole way: a client, TLS, nginx with our file, the server as a process, the S3 store that it sends us to."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lepton_ai import ModelRepository
from tests.between_s3 import Line, between
from tests.client.places import content, names, save, tuned, weights
from tests.deploy.files import DEPLOY, need
from tests.mortal import mortal
from tests.server.processes import Server, eventually, make, ready, started
from tests.services_s3 import free_port

pytestmark = pytest.mark.slow

SUBJECT = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]


@pytest.fixture
def line(s3_server: str) -> Iterator[Line]:
    """Counts what reaches the store."""
    with between(s3_server) as line:
        yield line


@pytest.fixture
def server(s3_url: str, s3_server: str, line: Line, tmp_path: Path) -> Iterator[Server]:
    """It reaches the store straight; clients do so over ``line``."""
    objects = f"{s3_url}&public={line.address}"
    environment = {"LEPTON_AI_SERVER_PROXIES": "127.0.0.1", "LEPTON_AI_SERVER_HOSTS": "127.0.0.1"}
    with started(make(tmp_path / "server"), "--objects", objects, "--insecure", **environment) as server:
        yield server


@pytest.fixture
def front(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """nginx before the server, with a certificate that the client trusts."""
    program, place, port = need("nginx", "nginx"), tmp_path / "nginx", free_port()
    place.mkdir()
    certificate, key = place / "fullchain.pem", place / "privkey.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1",
         *SUBJECT, "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    site = (DEPLOY / "proxy" / "nginx.conf").read_text()
    for ours, theirs in {
        "/etc/nginx/tls": str(place),
        "127.0.0.1:8750": server.address.removeprefix("http://"),
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen [::]:80;": "",
        "listen 443 ssl http2;": f"listen 127.0.0.1:{port} ssl http2;",
        "listen [::]:443 ssl http2;": "",
    }.items():
        assert ours in site
        site = site.replace(ours, theirs)
    user = "user root;" if os.geteuid() == 0 else ""
    folders = " ".join(
        f"{kind}_temp_path {place};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    inner = f"access_log off; {folders} {site}"
    whole = f"daemon off; {user} pid {place}/pid; error_log {place}/log; events {{}} http {{ {inner} }}"
    (place / "nginx.conf").write_text(whole)
    process = subprocess.Popen(mortal([program, "-c", place / "nginx.conf", "-p", place]))
    try:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        eventually(lambda: ready(f"https://127.0.0.1:{port}") or process.poll() is not None)
        assert process.poll() is None, (place / "log").read_text()
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


def test_push_and_read_through_a_proxy(
    front: str, server: Server, line: Line, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = server.token()["Authorization"].removeprefix("Bearer ")
    monkeypatch.setenv("LEPTON_AI_TOKEN", token)
    model = weights()
    with ModelRepository(tmp_path / "ours", author="ana") as ours:
        ours.add_remote("origin", f"{front}/ana/digits")
        save(ours, tmp_path / "in", model, metrics={"loss": 0.5})
        ours.push()
        save(ours, tmp_path / "in", tuned(model, 1), message="tuned")
        pushed = ours.push()
        assert 0 < pushed.bytes < 100_000
        expected = content(ours, "v2", tmp_path / "own")
    before = line.count
    with ModelRepository(f"{front}/ana/digits") as there:
        assert names(there) == ["v1", "v2"]
        assert content(there, "v2", tmp_path / "out") == expected
    assert line.count > before, "its packs came straight from the store"


def test_what_the_proxy_keeps_inside(front: str, server: Server) -> None:
    with httpx.Client(base_url=front) as client:
        assert client.get("/metrics").status_code == 404
        assert client.get("/healthz").json() == {"status": "ok"}
        answer = client.get("/api/v1/me", headers={"X-Forwarded-For": "10.9.8.7"})
        assert answer.status_code == 401
        assert answer.headers["Strict-Transport-Security"]
        assert answer.http_version == "HTTP/1.1"
    told = [entry for entry in server.lines() if entry.get("status") == 401]
    assert told
    assert "10.9.8.7" not in str(told), "what a client claims about itself is not believed"
