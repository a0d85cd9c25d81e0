"""An orderly end under load, several workers, and what happens when some of them are killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest

from tests.server.processes import PASSWORD, Server, eventually, make, ready, started

BODY = json.dumps({"user": "ana", "password": PASSWORD, "token": {"name": "x"}}).encode()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "team")


def _half(server: Server) -> socket.socket:
    """A login of which half the body is on its way."""
    port = int(server.address.rpartition(":")[2])
    line = socket.create_connection(("127.0.0.1", port), timeout=30)
    head = f"POST /api/v1/login/token HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: {len(BODY)}\r\n"
    line.sendall(head.encode() + b"Content-Type: application/json\r\n\r\n" + BODY[:20])
    return line


def _answer(line: socket.socket) -> bytes:
    parts = []
    while part := line.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_request_under_way_is_finished_and_no_new_one_taken(folder: Path) -> None:
    with started(folder) as server, _half(server) as line:
        httpx.get(f"{server.address}/healthz")  # whatever was sent before this one has arrived
        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: not ready(server.address))
        assert server.process.poll() is None
        line.sendall(BODY[20:])
        answer = _answer(line)
        assert answer.startswith(b"HTTP/1.1 201 "), answer
        assert b'"secret":"lai_' in answer
        assert server.process.wait(30) == 0


def test_who_does_not_finish_is_not_waited_for_longer_than_the_limit(folder: Path) -> None:
    with started(folder, LEPTON_AI_SERVER_STOP_SECONDS="1") as server, _half(server):
        httpx.get(f"{server.address}/healthz")
        assert server.stop() == 0


def test_under_load_every_answer_that_begins_is_whole(folder: Path) -> None:
    with started(folder, "--workers", "2") as server:
        headers = server.token()
        whole: list[int] = []
        broken: list[str] = []

        def ask() -> None:
            while True:
                try:
                    answer = httpx.get(f"{server.address}/api/v1/users", headers=headers)
                    whole.append(len(answer.json()["users"]))
                except httpx.TransportError as problem:
                    if "incomplete" in str(problem) or "peer closed" in str(problem):
                        broken.append(str(problem))
                    return

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(whole) > 40)
        assert server.stop() == 0
        for thread in threads:
            thread.join()
        assert broken == []
        assert set(whole) == {1}


def test_any_worker_tells_the_numbers_of_all(folder: Path) -> None:
    with started(folder, "--workers", "2") as server:
        headers = server.token()
        for _ in range(40):
            assert httpx.get(f"{server.address}/api/v1/me", headers=headers).status_code == 200
        workers = {line["process"] for line in server.lines() if line.get("route") == "/api/v1/me"}
        assert len(workers) == 2
        for _ in range(10):
            text = httpx.get(f"{server.address}/metrics").text
            told = 'lepton_ai_http_requests_total{method="GET",route="/api/v1/me",status="200"} 40.0'
            assert told in text
            assert "\nlepton_ai_http_requests_in_flight 1.0\n" in text


def test_a_worker_that_is_killed_is_replaced_and_none_is_left_behind(folder: Path) -> None:
    with started(folder, "--workers", "2") as server:
        eventually(lambda: len(server.workers()) == 2)
        os.kill(min(server.workers()), signal.SIGKILL)
        eventually(lambda: len(server.workers()) == 3)
        eventually(lambda: ready(server.address))
        server.process.kill()
        server.process.wait()
        eventually(lambda: not any(_lives(number) for number in server.workers()))


def test_a_worker_that_dies_while_its_parent_asks_after_it_is_replaced_at_once(folder: Path) -> None:
    with started(folder, "--workers", "2") as server:
        eventually(lambda: len(server.workers()) == 2)
        first = min(server.workers())
        os.kill(first, signal.SIGSTOP)
        time.sleep(1.5)  # the parent asks twice a second, and now waits for an answer that cannot come
        os.kill(first, signal.SIGKILL)
        eventually(lambda: len(server.workers()) == 3)
        assert server.stop() == 0


def _lives(number: int) -> bool:
    state = Path(f"/proc/{number}/stat")
    try:
        return state.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_lock_of_a_killed_server_does_not_hold(folder: Path) -> None:
    with started(folder) as server:
        server.process.kill()
        server.process.wait()
    with started(folder) as server:
        assert server.stop() == 0
