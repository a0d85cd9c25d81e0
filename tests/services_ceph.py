"""Ceph's object store, as real as it gets on one machine: a monitor, one storage daemon in memory, and the gateway."""

from __future__ import annotations

import os
import shutil
import subprocess
import urllib.request
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.mortal import mortal
from tests.services_s3 import CREDENTIALS, free_port, wait_for

PROGRAMS = ("ceph-mon", "ceph-osd", "radosgw", "radosgw-admin", "ceph", "monmaptool", "ceph-authtool")

_SETTINGS = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port},v1:127.0.0.1:{old_port}]
keyring = {folder}/keyring
run dir = {folder}/run
admin socket = {folder}/run/$name.asok
log file = {folder}/log/$name.log
crash dir = {folder}/crash
mon data = {folder}/mon
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd pool default pgp num = 8
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon max pg per osd = 2000
mon data avail crit = 1
[osd]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
[client]
rgw enable usage log = false
rgw dynamic resharding = false
"""


class Cluster:
    """The daemons in ``folder``; they are ended when ``stack`` is."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder, self._stack = folder, stack
        self.fsid = str(uuid.uuid4())
        self.ports = (free_port(), free_port(), free_port())
        self.settings = folder / "ceph.conf"
        # CEPH_ARGS and the like of whoever runs the tests are not for us.
        self._environment = {name: value for name, value in os.environ.items() if not name.startswith("CEPH")}
        for name in ("run", "log", "mon", "osd", "crash"):
            (folder / name).mkdir()
        port, old_port, _ = self.ports
        self.settings.write_text(
            _SETTINGS.format(fsid=self.fsid, port=port, old_port=old_port, folder=folder)
        )

    def run(self, program: str, *arguments: str) -> None:
        """One command that ends; its output is in the error when it fails."""
        command = [program, "-c", str(self.settings), *arguments]
        done = subprocess.run(
            command, cwd=self.folder, env=self._environment, capture_output=True, timeout=120, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{command}:\n{(done.stdout + done.stderr)[-4000:].decode(errors='replace')}")

    def keep(self, program: str, *arguments: str) -> tuple[subprocess.Popen[bytes], Path]:
        """A daemon, and the file with what it says."""
        log = self.folder / f"{program}.out"
        output = self._stack.enter_context(log.open("wb"))
        command = mortal([program, "-c", str(self.settings), "-f", *arguments])
        daemon = subprocess.Popen(
            command, cwd=self.folder, env=self._environment, stdout=output, stderr=output
        )
        self._stack.callback(_end, daemon)
        return daemon, log

    def start(self) -> str:
        """The gateway's address, when it answers."""
        port, old_port, gateway = self.ports
        _keys(self.folder / "keyring", ("mon.", "client.admin", "client.rgw", "osd.0"))
        address = f"[v2:127.0.0.1:{port},v1:127.0.0.1:{old_port}]"
        subprocess.run(
            ["monmaptool", "--create", "--fsid", self.fsid, "--addv", "a", address, str(self.folder / "map")],
            check=True, capture_output=True, timeout=60,
        )  # fmt: skip
        keyring, known = str(self.folder / "keyring"), str(self.folder / "map")
        self.run("ceph-mon", "-i", "a", "--mkfs", "--monmap", known, "--keyring", keyring)
        self.keep("ceph-mon", "-i", "a")
        self.run("ceph", "--connect-timeout", "60", "osd", "create")
        self.run("ceph", "osd", "crush", "add", "osd.0", "1", "root=default", "host=localhost")
        self.run("ceph-osd", "-i", "0", "--mkfs")
        self.keep("ceph-osd", "-i", "0")
        endpoint = f"beast endpoint=127.0.0.1:{gateway}"
        daemon, log = self.keep("radosgw", "-n", "client.rgw", "--rgw-frontends", endpoint)
        wait_for(f"http://127.0.0.1:{gateway}/", daemon, log, seconds=180)
        keys = ("--access-key", CREDENTIALS["AWS_ACCESS_KEY_ID"])
        secret = ("--secret-key", CREDENTIALS["AWS_SECRET_ACCESS_KEY"])
        self.run("radosgw-admin", "user", "create", "--uid=tests", "--display-name=tests", *keys, *secret)
        return f"http://127.0.0.1:{gateway}"


def _keys(keyring: Path, names: Sequence[str]) -> None:
    for name in names:
        caps = [word for kind in ("mon", "osd", "mgr") for word in ("--cap", kind, "allow *")]
        new = [] if keyring.exists() else ["--create-keyring"]
        command = ["ceph-authtool", *new, "--gen-key", "-n", name, *caps, str(keyring)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)


def _end(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(20)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


@pytest.fixture(scope="session")
def ceph_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of Ceph's S3 gateway, with credentials for it in the environment."""
    absent = [program for program in PROGRAMS if shutil.which(program) is None]
    if absent:
        pytest.skip(f"not installed: {', '.join(absent)} (Debian: radosgw ceph-mon ceph-osd)")
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        address = Cluster(tmp_path_factory.mktemp("ceph"), stack).start()
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            patch.delenv(name)
        for name, value in CREDENTIALS.items():
            patch.setenv(name, value)
        yield address


def bring(address: str) -> None:
    """PUT nothing to a signed address: this is how a bucket is made."""
    urllib.request.urlopen(urllib.request.Request(address, data=b"", method="PUT"), timeout=60).close()
