"""The real program as a process: made, started, asked, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from tests.mortal import mortal

PROGRAM = [sys.executable, "-c", "import sys; from lepton_ai.cli import main; sys.exit(main())"]
PASSWORD = "correct horse battery"
LONGEST = 60.0
"""Seconds for whatever must happen."""


def lepton(*arguments: str, stdin: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | environment,
        timeout=LONGEST,
    )


def make(folder: Path, *flags: str, admin: str = "ana") -> Path:
    """A server's folder."""
    words = ("server", "init", str(folder), "--admin", admin, "--password-stdin", *flags)
    done = lepton(*words, stdin=PASSWORD + "\n")
    assert done.returncode == 0, done.stderr
    return folder


class Done(NamedTuple):
    """What a command said."""

    returncode: int
    stdout: str
    stderr: str


class Server:
    """A server that runs."""

    def __init__(self, process: subprocess.Popen[str], address: str, log: Path) -> None:
        self.process, self.address, self._log = process, address, log

    def lines(self) -> list[dict[str, Any]]:
        """What it logged; every line is JSON."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    def workers(self) -> set[int]:
        """The numbers of all processes that began to serve."""
        began = (line for line in self.lines() if "Started server process" in line["message"])
        return {line["process"] for line in began}

    def token(self, *scopes: str) -> dict[str, str]:
        """The header of a new token of the administrator."""
        body = {
            "user": "ana",
            "password": PASSWORD,
            "token": {"name": "x", "scopes": scopes or ("read", "write", "admin")},
        }
        answer = httpx.post(f"{self.address}/api/v1/login/token", json=body, verify=False)
        assert answer.status_code == 201, answer.text
        return {"Authorization": f"Bearer {answer.json()['secret']}"}

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.process.send_signal(number)
        return self.process.wait(LONGEST)


@contextmanager
def started(folder: Path, *flags: str, **environment: str) -> Iterator[Server]:
    """A server that is ready; it is gone after the block."""
    log = folder / "log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            mortal([*PROGRAM, "server", "start", str(folder), "--port", "0", *flags]),
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | environment,
        )
    with process:
        try:
            assert process.stdout is not None
            address = process.stdout.readline().strip()
            assert address, log.read_text()
            server = Server(process, address, log)
            eventually(lambda: ready(address))
            yield server
        finally:
            if process.poll() is None:
                process.kill()


def ready(address: str) -> bool:
    """Whether the server answers."""
    try:
        return httpx.get(f"{address.replace('0.0.0.0', '127.0.0.1')}/readyz", verify=False).status_code == 200
    except httpx.TransportError:
        return False


def eventually(happened: Any) -> None:
    """Wait until something is so."""
    end = time.monotonic() + LONGEST
    while not happened():
        assert time.monotonic() < end
        time.sleep(0.05)
