"""Real object stores that the tests start themselves: moto's S3 server, a process of its own on the loopback."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mortal import mortal

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "secret-of-the-tests"}


def free_port() -> int:
    """A port of the loopback that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 60) -> None:
    """Return when ``url`` answers anything at all; the log is in the error when ``process`` ends, or never answers."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and process.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{url} does not answer:\n{log.read_text(errors='replace')[-4000:]}")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of an S3 server, with credentials for it in the environment."""
    folder = tmp_path_factory.mktemp("moto")
    log, port = folder / "log", free_port()
    command = mortal([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)])
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("wb") as output, pytest.MonkeyPatch.context() as patch:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env=environment)
        try:
            wait_for(f"http://127.0.0.1:{port}/moto-api/data.json", process, log)
            for name in [name for name in os.environ if name.startswith("AWS_")]:
                patch.delenv(name)
            for name, value in CREDENTIALS.items():
                patch.setenv(name, value)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.wait(30)


def make_bucket(server: str) -> str:
    """The address (for ``open_objects``) of a new, empty bucket on a server that lets anybody make one."""
    name = f"bucket-{secrets.token_hex(6)}"
    request = urllib.request.Request(f"{server}/{name}", method="PUT")
    urllib.request.urlopen(request, timeout=30).close()
    return f"s3://{name}/deep/down?endpoint={server}&region=us-east-1&allow_http=true"


@pytest.fixture
def s3_url(s3_server: str) -> str:
    """The address of a new, empty place in an S3 store."""
    return make_bucket(s3_server)
