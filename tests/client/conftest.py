"""A real server, started as people start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.client import login, waiting
from tests.client.proxy import Wire
from tests.mortal import mortal

PROGRAM = Path(sys.executable).with_name("lepton")
PASSWORD = "correct horse battery"


class Server:
    """A server in ``folder``, whose administrator is ana; ``port`` stays when it is started again."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = 0
        self._process: subprocess.Popen[str] | None = None
        done = subprocess.run(
            [PROGRAM, "server", "init", folder, "--admin", "ana", "--password-stdin"],
            input=PASSWORD, text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with (self.folder / "log").open("a") as log:
            self._process = subprocess.Popen(
                mortal([PROGRAM, "server", "start", self.folder, "--port", str(self.port)]),
                stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None
        said = self._process.stdout.readline().strip()
        assert said.startswith("http"), (self.folder / "log").read_text()
        self.port = int(said.rpartition(":")[2])
        for _ in range(200):
            try:
                with urllib.request.urlopen(f"{self.address}/readyz", timeout=5):
                    return
            except OSError:
                time.sleep(0.05)
        raise AssertionError((self.folder / "log").read_text())

    def stop(self, how: int = signal.SIGTERM) -> None:
        if self._process is not None:
            if self._process.poll() is None:
                os.killpg(self._process.pid, how)
            self._process.wait(30)
            assert self._process.stdout is not None
            self._process.stdout.close()
            self._process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that runs for the tests of one file, without limits of rate."""
    folder = tmp_path_factory.mktemp("server")
    server = Server(folder / "team")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def wire(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Wire]:
    """A wire to the server, over which somebody is logged in; nobody waits long."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(waiting, "FIRST", 0.01)
    line = Wire(running.port)
    login.by_password(line.address, "ana", PASSWORD)
    login.by_password(running.address, "ana", PASSWORD)
    yield line
    line.close()
