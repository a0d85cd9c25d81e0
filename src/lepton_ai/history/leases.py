"""Leases: how gc knows which saves and backups are running."""

from __future__ import annotations

import getpass
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from lepton_ai.errors import LostRace
from lepton_ai.history import states
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move, Ref
from lepton_ai.progress import Progress

BEAT = 60.0
"""Seconds between signs of life."""
DEFAULT_GRACE = 14 * 86400.0
"""Seconds for which a deleted version stays restorable, and for which an unreferenced pack is left alone."""
PATIENCE = 15 * 60.0
"""Seconds of silence after which a lease of another host counts as dead."""


def user_name() -> str:
    """Who runs this process, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return str(os.getuid())


class Lease:
    """One running operation, told to everybody; :meth:`release_move` ends it in the last commit, ``with`` at last."""

    def __init__(self, history: History, what: str) -> None:
        self._history = history
        self._key = f"lease/{secrets.token_hex(8)}"
        self._state = present(what)
        self._beaten = time.monotonic()
        self._over = False
        self._write(Move(self._key, ABSENT, states.encode(self._state), logged=False))

    def beat(self) -> None:
        """Give a sign of life, at most once a minute; call it as often as convenient."""
        if time.monotonic() - self._beaten < BEAT:
            return
        self._beaten = time.monotonic()
        ref = self._read()
        if ref is not None:
            self._state = replace(self._state, beat_at=time.time_ns() // 1000)
            self._write(Move(self._key, ref.stamp, states.encode(self._state), logged=False))

    @property
    def key(self) -> str:
        """Where it is kept."""
        return self._key

    def ended(self) -> None:
        """It ended with the commit that had its :meth:`release_move`."""
        self._over = True

    def release_move(self) -> tuple[Move, ...]:
        """The move that ends the lease together with what it was for; none when gc took it for dead and removed it."""
        ref = self._read()
        return (Move(self._key, ref.stamp, None, logged=False),) if ref else ()

    def release(self) -> None:
        """End the lease, if it has not ended."""
        moves = () if self._over else self.release_move()
        if moves:
            self._write(*moves)

    def __enter__(self) -> Lease:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _read(self) -> Ref | None:
        return self._history.get([self._key]).get(self._key)

    def _write(self, *moves: Move) -> None:
        try:
            self._history.commit(Commit(self._state.user, "lease", moves=moves, at=time.time_ns() // 1000))
        except LostRace:
            return  # gc took it for dead and removed it; the commit of the save will tell


def living(history: History) -> list[tuple[Ref, states.LeaseState]]:
    """Leases whose process lives, or may live."""
    found = [(ref, states.decode(states.LeaseState, ref)) for ref in history.scan("lease/")]
    return [(ref, state) for ref, state in found if is_alive(state)]


def is_alive(state: states.LeaseState) -> bool:
    """Where process numbers mean the same as here: whether that process lives. Elsewhere: whether it spoke lately."""
    if state.host == os.uname().nodename and state.place == _place():
        return _process_lives(state.pid) and state.born in ("", _born(state.pid))
    return time.time_ns() // 1000 - state.beat_at < PATIENCE * 1e6


def present(what: str) -> states.LeaseState:
    """This process, doing ``what``, now."""
    at, pid = time.time_ns() // 1000, os.getpid()
    return states.LeaseState(what, os.uname().nodename, pid, user_name(), at, at, _place(), _born(pid))


def _place() -> str:
    """This start of the machine and this namespace of process numbers; empty where the system does not say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the third on; empty where there is none."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    return text.rpartition(")")[2].split()


def _born(pid: int) -> str:
    """When a process started, in ticks since the machine did; empty where the system does not say."""
    fields = _stat(pid)
    return fields[19] if len(fields) > 19 else ""


def _process_lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return _stat(pid)[:1] != ["Z"]  # a zombie has ended, although its parent has not noticed


class Beating:
    """Passes progress on and gives a sign of life each time."""

    def __init__(self, progress: Progress, beat: Callable[[], None]) -> None:
        self._progress, self._beat = progress, beat

    def start(self, task: str, total: int) -> None:
        """A task begins."""
        self._progress.start(task, total)

    def advance(self, amount: int) -> None:
        """Some of it is done."""
        self._progress.advance(amount)
        self._beat()
