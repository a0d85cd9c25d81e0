"""The image: built by buildah on a Debian made on the spot (no registry of images is asked), looked into, and started.

Everything happens in a folder of the test: buildah's storage, the Debian, the image.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.files import DEPLOY, ROOT, need
from tests.services_s3 import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

INCLUDED = "python3,python3-venv,gcc,libc6-dev,ca-certificates"
TAG = "localhost/lepton-ai"


class Builder:
    """buildah with a storage of its own in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        where = ["--root", str(folder / "root"), "--runroot", str(folder / "run"), "--storage-driver", "vfs"]
        self.program = [need("buildah", "buildah"), *where]

    def run(self, *arguments: str, timeout: int = 900) -> str:
        """One command; what it printed."""
        done = subprocess.run(
            [*self.program, *arguments], capture_output=True, text=True, timeout=timeout, check=False
        )
        assert done.returncode == 0, f"{shlex.join(arguments)}:\n{(done.stdout + done.stderr)[-4000:]}"
        return done.stdout.strip()

    def inside(self, *command: str, timeout: int = 120) -> str:
        """What a command in a fresh container of the image prints."""
        container = self.run("from", "--pull-never", TAG)
        try:
            return self.run("run", "--isolation", "chroot", container, "--", *command, timeout=timeout)
        finally:
            self.run("rm", container)


def way_to_the_registry() -> list[str]:
    """Mounts, so that pip in the build finds packages as it does here: its settings, certificates, folders."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True
    ).stdout
    paths = {Path(path) for path in re.findall(r"(?:file://|(?<=['\s]))(/[\w./-]+)", told)} | {
        Path("/etc/pip.conf")
    }
    tops = {path.parent if path.name == "simple" else path for path in paths if path.exists()}
    return [word for path in sorted(tops) for word in ("--volume", f"{path}:{path}:ro")]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    if os.geteuid() != 0:
        pytest.skip("building an image here takes root")
    debian = need("mmdebstrap", "mmdebstrap")
    folder = tmp_path_factory.mktemp("buildah")
    builder = Builder(folder)
    context = folder / "base"
    context.mkdir()
    subprocess.run(
        [debian, "--variant=minbase", f"--include={INCLUDED}", "bookworm", str(context / "base.tar")],
        check=True, capture_output=True, timeout=600,
    )  # fmt: skip
    (context / "Dockerfile").write_text("FROM scratch\nADD base.tar /\n")
    builder.run("bud", "--isolation", "chroot", "--tag", "localhost/base", str(context))
    shutil.rmtree(context)
    arguments = ["--isolation", "chroot", "--pull-never", "--format", "docker", "--tag", TAG]
    arguments += ["--build-arg", "BASE=localhost/base", *way_to_the_registry()]
    arguments += [
        "--file",
        str(DEPLOY / "Dockerfile"),
        "--ignorefile",
        str(DEPLOY / "Dockerfile.dockerignore"),
    ]
    builder.run("bud", *arguments, str(ROOT), timeout=1500)
    yield builder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def settings(built: Builder) -> dict[str, Any]:
    """What the image says about itself."""
    found: dict[str, Any] = json.loads(built.run("inspect", "--type", "image", TAG))["Docker"]["config"]
    return found


def test_what_it_says(settings: dict[str, Any]) -> None:
    assert settings["User"] == "10001:10001"
    assert settings["Entrypoint"] == ["lepton"]
    assert settings["Cmd"] == ["server", "start", "/var/lib/lepton"]
    assert settings["Volumes"] == {"/var/lib/lepton": {}}
    assert settings["ExposedPorts"] == {"8750/tcp": {}}
    assert settings["Healthcheck"]["Test"][0] == "CMD"
    assert not [name for name in settings["Env"] if re.search("PASSWORD|SECRET|TOKEN|KEY", name)]


def test_what_is_in_it(built: Builder) -> None:
    """The package with its compiled codec; no source tree, no pip of ours, nobody's keys or histories."""
    script = """
    id -u; id -g; stat -c '%a %u' /var/lib/lepton
    lepton --version
    find / -xdev -name tiles.so -path '*native*' | wc -l
    find /opt/lepton -name pip -maxdepth 5 | wc -l
    find / -xdev \\( -name .git -o -name .lepton -o -name '*.key' -o -path '/source*' -o -path '/wheels*' \\) | wc -l
    touch /opt/lepton/x 2>/dev/null && echo writable || echo fixed
    """
    lines = built.inside("sh", "-c", script).splitlines()
    assert lines[:3] == ["10001", "10001", "700 10001"]
    assert lines[3].startswith("lepton ")
    assert lines[4:] == ["1", "0", "0", "fixed"]


def test_a_server_starts_in_it_is_healthy_and_stops(built: Builder, settings: dict[str, Any]) -> None:
    """By its own health check; SIGTERM ends it with 0."""
    port = free_port()
    check = shlex.join(settings["Healthcheck"]["Test"][1:])
    script = f"""
    set -e
    printf 'correct horse battery\\n' | lepton server init /var/lib/lepton --admin ana --password-stdin
    export LEPTON_AI_SERVER_PORT={port} LEPTON_AI_SERVER_HOST=127.0.0.1
    timeout --preserve-status -s TERM 30 lepton server start /var/lib/lepton &
    until {check}; do sleep 0.3; kill -0 $!; done 2>/dev/null
    echo healthy
    wait $!
    echo stopped
    """
    container = built.run("from", "--pull-never", TAG)
    command = [*built.program, "run", "--isolation", "chroot", container, "--", "sh", "-c", script]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        answer = b""
        end = time.monotonic() + 60
        while not answer and time.monotonic() < end and process.poll() is None:
            try:
                answer = urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).read()
            except OSError:
                time.sleep(0.3)
        output, errors = process.communicate(timeout=120)
    finally:
        process.kill()
        process.wait()
    built.run("rm", container)
    assert (process.returncode, "healthy" in output, "stopped" in output) == (0, True, True), output + errors
    assert json.loads(answer) == {"status": "ready", "database": "ok", "objects": "ok"}
