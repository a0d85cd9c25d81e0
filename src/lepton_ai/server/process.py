"""The server's processes: checks before the start, one socket, one or several workers, an orderly end."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import shutil
import signal
import socket
import ssl
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType

import msgspec
import uvicorn
from fastapi import FastAPI
from uvicorn.supervisors import Multiprocess

from lepton_ai.errors import Busy, InfrastructureError, KeyMissing, NotFound, UsageError
from lepton_ai.server import founding, logs, metrics
from lepton_ai.server.app import create_app
from lepton_ai.server.holding import Holder, held
from lepton_ai.server.own_key import check_own_key
from lepton_ai.server.running import Running, close_all, open_all, try_objects
from lepton_ai.server.settings import LOOPBACK, WHOLE, ServerSettings, decode, encode
from lepton_ai.store.durable import make_folder, storage_errors

MEMORY = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "67108864"}
"""How workers keep what is freed (glibc), as the command line does: an arena for every thread grows with each."""
LOG = logging.getLogger("lepton_ai.server")
APPLICATION = "lepton_ai.server.process:application"
STUCK = 90
"""Seconds without an answer after which a worker is replaced: more than a slow machine takes to import everything."""


def start(settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve until somebody stops this process (SIGTERM, SIGINT): then no new connection is taken, and requests under
    way are finished within ``stop_seconds``. ``announce`` is told the address once it is bound.

    Raises:
        UsageError: the settings do not allow it, as plain HTTP to others does not without ``insecure``.
        Busy: a server runs on this folder already, or another program has the port.
        LeptonError: database or object store cannot be used.
    """
    check(settings)
    with ExitStack() as stack:
        lock = stack.enter_context(held(settings.folder))
        wrong_key = preflight(settings)
        listener = stack.enter_context(bind(settings))
        address = address_of(settings, listener)
        lock.write(msgspec.json.encode(Holder(os.getpid(), address)).decode())
        lock.flush()
        stack.enter_context(_environment(settings))
        announce(address)
        logs.install(settings.log_level)
        if wrong_key is not None:  # who has lost it goes on without: clients with keys of their own still can
            LOG.error("%s (%s)", wrong_key.message, wrong_key.hint)
        _run(settings, listener)


def check(settings: ServerSettings) -> None:
    """See that the settings fit together.

    Raises:
        UsageError: says what to change.
    """
    if bool(settings.tls_cert) != bool(settings.tls_key):
        raise UsageError("a certificate and its key go together", hint="give --tls-cert and --tls-key")
    for file in (settings.tls_cert, settings.tls_key):
        if file is not None and not file.is_file():
            raise NotFound(f"there is no file {file}", hint="check the path")
    _check_certificate(settings)
    if settings.host not in LOOPBACK and not settings.secure and not settings.insecure:
        raise UsageError(
            f"plain HTTP on {settings.host} would send passwords and models unprotected",
            hint="give --tls-cert and --tls-key, or --insecure behind a proxy that speaks TLS",
        )


def _check_certificate(settings: ServerSettings) -> None:
    """See that certificate and key can be used, before an address is told and each worker asks for a passphrase.

    Raises:
        UsageError.
    """
    if settings.tls_cert is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(
            settings.tls_cert, settings.tls_key, lambda: ""
        )
    except OSError as problem:
        why = (getattr(problem, "reason", None) or problem.strerror or "").replace("_", " ").lower()
        raise UsageError(
            f"{settings.tls_cert} with {settings.tls_key} cannot be used for TLS: {why}",
            hint="a certificate with its chain, and its key without a passphrase, both as PEM",
        ) from problem


def preflight(settings: ServerSettings) -> KeyMissing | None:
    """Open everything once, so that what is wrong is said here and not by every worker; what is wrong with its own key.

    An embedded database is brought to the newest form; one that others may use is not, before somebody says so.

    Raises:
        LeptonError: database or object store cannot be used.
    """
    try_objects(settings)
    if not settings.database:
        founding.migrate(settings)
    running = Running(settings)
    open_all(running)
    try:
        check_own_key(running.catalog, settings.key_file)
    except KeyMissing as problem:
        return problem
    finally:
        close_all(running)
    return None


@contextmanager
def bind(settings: ServerSettings) -> Iterator[socket.socket]:
    """The socket to listen on.

    Raises:
        Busy: another program has the port.
        InfrastructureError: there is no such address here, or the port is not for everybody.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.set_inheritable(True)
        where = f"{settings.host}:{settings.port}"
        try:
            listener.bind((settings.host, settings.port))
            listener.listen(
                1
            )  # now, so that a port that is taken is told here; workers set their own backlog
        except OSError as problem:
            if isinstance(problem, socket.gaierror) or problem.errno is None:
                raise UsageError(
                    f"there is no host {settings.host} here: {problem}", hint="see --host"
                ) from problem
            if problem.errno == 98 or "in use" in str(problem):
                raise Busy(
                    f"another program listens on {where}", hint="stop it, or choose --port"
                ) from problem
            raise InfrastructureError(
                f"cannot listen on {where}: {problem.strerror}", hint="see --host and --port"
            ) from problem
        yield listener


def address_of(settings: ServerSettings, listener: socket.socket) -> str:
    """The server's address, as a client on this network would type it; a proxy may show another."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"{'https' if settings.secure else 'http'}://{host}:{listener.getsockname()[1]}"


def _run(settings: ServerSettings, listener: socket.socket) -> None:
    config = uvicorn.Config(
        APPLICATION,
        factory=True,
        host=settings.host,
        port=listener.getsockname()[1],
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        ws="none",
        proxy_headers=bool(settings.proxies),
        forwarded_allow_ips=",".join(settings.proxies),
        root_path=settings.root_path,
        timeout_graceful_shutdown=int(settings.stop_seconds),
        timeout_keep_alive=75,
        timeout_worker_healthcheck=STUCK,
        ssl_certfile=settings.tls_cert,
        ssl_keyfile=settings.tls_key,
    )
    # uvicorn ends in order, then raises the signal again, which would end us with its number instead of 0.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _ignore)
    if settings.workers == 1:
        server = uvicorn.Server(config)
        server.run([listener])
        failed = not server.started
    else:
        supervisor = Supervisor(config, [listener])
        supervisor.run()
        failed = any(process.exitcode not in {0, -signal.SIGTERM} for process in supervisor.processes)
    if failed:
        raise InfrastructureError("the server did not end well", hint="its log says why")


class Supervisor(Multiprocess):
    """Replaces a worker that died at once, also when it died while it was being asked whether it lives."""

    def keep_subprocess_alive(self) -> None:
        """Ask after every worker; Linux tells the death of one only when nobody else holds its end of the pipe."""
        for process in self.processes:
            process.child_conn.close()
        super().keep_subprocess_alive()


def application() -> FastAPI:
    """The application of a process that was started with its settings in the environment: what uvicorn asks for."""
    settings = decode(os.environ[WHOLE].encode())
    gc.set_threshold(
        700, 10, 10
    )  # Python's own: the command line looks for cycles seldom, but a server lives long
    logs.install(settings.log_level)
    end_with_the_parent()
    made = create_app(settings)
    gc.freeze()  # what is there now stays: to look through it for cycles would keep an answer waiting now and then
    return made


def _ignore(number: int, frame: FrameType | None) -> None:
    """Do nothing more: the server has ended already."""


def end_with_the_parent() -> None:
    """In a worker: stop when the process that started it is gone, even if it was killed."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def wait() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="parent", daemon=True).start()


@contextmanager
def _environment(settings: ServerSettings) -> Iterator[None]:
    """What workers find in their environment: settings, and a folder for the numbers of all of them.

    It lies in the server's folder, where the next start finds what a server that was killed left.
    """
    with ExitStack() as stack:
        os.environ[WHOLE] = encode(settings).decode()
        stack.callback(os.environ.pop, WHOLE)
        if settings.workers > 1:
            folder = settings.folder / "metrics"
            shutil.rmtree(folder, ignore_errors=True)
            with storage_errors(folder):
                make_folder(folder, 0o700)
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            for name, value in {metrics.FOLDER_VARIABLE: str(folder), **MEMORY}.items():
                if name not in MEMORY or name not in os.environ:
                    os.environ[name] = value
                    stack.callback(os.environ.pop, name)
        sys.stdout.flush()
        yield
