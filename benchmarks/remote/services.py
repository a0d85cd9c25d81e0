"""Servers that the remote benchmark starts, on loopback: plain files, git-lfs, an S3 store (moto), and our own."""

from __future__ import annotations

import json
import os
import re
import secrets
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

LOOPBACK = "127.0.0.1"
STEP = 1 << 20
PATIENCE = 60.0


class Files:
    """GET and PUT of files in a folder; a PUT is on the disk when it is answered."""

    def __init__(self, folder: Path, handler: type[Handler] | None = None) -> None:
        self._server = ThreadingHTTPServer((LOOPBACK, 0), partial(handler or Handler, directory=str(folder)))
        self.url = f"http://{LOOPBACK}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Handler(SimpleHTTPRequestHandler):
    """Python's own server of files, which takes files too."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        with (Path(self.directory) / Path(self.path).name).open("wb") as file:
            while left:
                part = self.rfile.read(min(left, STEP))
                file.write(part)
                left -= len(part)
            file.flush()
            os.fsync(file.fileno())
        self.answer(201, b"")

    def answer(self, status: int, body: bytes, kind: str = "text/plain") -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


class Lfs(Handler):
    """A server for git-lfs: the batch API with basic transfers. It does not hash what comes: that costs it nothing."""

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        told = {
            "transfer": "basic",
            "objects": [self._one(asked["operation"], each) for each in asked["objects"]],
        }
        self.answer(200, json.dumps(told).encode(), "application/vnd.git-lfs+json")

    def _one(self, operation: str, asked: dict[str, Any]) -> dict[str, Any]:
        known = {"oid": asked["oid"], "size": asked["size"], "authenticated": True}
        there = (Path(self.directory) / asked["oid"]).exists()
        if operation == "download" and not there:
            return known | {"error": {"code": 404, "message": "there is no such object"}}
        if operation == "upload" and there:
            return known
        return known | {"actions": {operation: {"href": f"http://{self.headers['Host']}/{asked['oid']}"}}}


class S3:
    """An S3 store by moto, with one bucket. It keeps what it holds in memory, and large parts in temporary files."""

    bucket = "models"

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        self.query = f"endpoint={self.url}&region=us-east-1&allow_http=true"
        self.variables = {
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": secrets.token_hex(16),
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ALLOW_HTTP": "true",
        }
        command = [sys.executable, "-m", "moto.server", "-H", LOOPBACK, "-p", str(port)]
        self._process = subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": str(folder)},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(f"{self.url}/moto-api/")
        request = urllib.request.Request(f"{self.url}/{self.bucket}", method="PUT")
        urllib.request.urlopen(request, timeout=PATIENCE).close()

    def held(self) -> int:
        """Bytes of all objects."""
        with urllib.request.urlopen(f"{self.url}/{self.bucket}?list-type=2", timeout=PATIENCE) as answer:
            return sum(map(int, re.findall(r"<Size>(\d+)</Size>", answer.read().decode())))

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()


class Leptons:
    """Our server, as its users start it, with one administrator."""

    def __init__(self, program: str, folder: Path, store: S3 | None) -> None:
        self.password = secrets.token_urlsafe(24)
        port = free_port()
        self.url = f"http://{LOOPBACK}:{port}"
        objects = ["--objects", f"s3://{store.bucket}/lepton?{store.query}"] if store else []
        home = folder.with_name("server-home")
        home.mkdir(parents=True)
        known = {"PATH": os.environ["PATH"], "HOME": str(home)} | (store.variables if store else {})
        init = [program, "server", "init", str(folder), "--admin", "ada", "--password-stdin", *objects]
        subprocess.run(
            init, input=self.password + "\n", text=True, check=True, env=known, stdout=subprocess.DEVNULL
        )
        self._log = (folder / "log").open("wb")
        start = [program, "server", "start", str(folder), "--port", str(port)]
        self._process = subprocess.Popen(start, env=known, stdout=subprocess.DEVNULL, stderr=self._log)
        wait_for(f"{self.url}/readyz")

    def peak(self) -> int:
        """Bytes: the server's largest resident set so far."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        return int(found[1]) * 1024 if found else 0

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        self._log.close()


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def wait_for(url: str) -> None:
    """Until a server answers there."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


def loopback_bytes() -> int:
    """Bytes that have gone over the loopback interface since the machine was started (Linux)."""
    for line in Path("/proc/net/dev").read_text(encoding="ascii").splitlines():
        name, _, numbers = line.partition(":")
        if name.strip() == "lo":
            return int(numbers.split()[0])
    raise RuntimeError(json.dumps("no loopback interface in /proc/net/dev"))
