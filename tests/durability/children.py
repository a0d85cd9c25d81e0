"""What the tests' child processes do. They start from a fork server that has imported everything: cheap to kill."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lepton_ai.history.restoring import restore
from lepton_ai.progress import SILENT
from lepton_ai.repository import ModelRepository

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["tests.durability.children", "numpy", "zstandard", "cryptography.hazmat.primitives.ciphers.aead"]
)

WATCHED = ("fsync", "rename", "replace", "link", "unlink", "remove", "rmdir", "write", "open", "mkdir")


class Dying:
    """Progress that is a step towards death: what is written through a file object is not watched otherwise."""

    def __init__(self, step: Callable[[], None]) -> None:
        self._step = step

    def start(self, task: str, total: int) -> None:
        """Do nothing."""

    def advance(self, amount: int) -> None:
        """One step more."""
        self._step()


def die_at(event: int) -> Dying:
    """Kill this process at its ``event``-th call of a function that changes the disk, or sign of progress; 0: live."""
    left = [event]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(name: str) -> None:
        real = getattr(os, name)

        def counted(*arguments: object, **named: object) -> object:
            step()
            return real(*arguments, **named)

        setattr(os, name, counted)

    for name in WATCHED if event else ():
        watch(name)
    return Dying(step)


def save(repo: str, file: str, branch: str, event: int) -> None:
    """Save one file, and die at an event (0: live)."""
    if event:
        die_at(event)
    with ModelRepository(repo, create=False, author="child") as repository:
        repository.save_files(file, branch)


def collect(repo: str, event: int) -> None:
    """Collect garbage, and die at an event (0: live)."""
    if event:
        die_at(event)
    with ModelRepository(repo, create=False, author="child") as repository:
        repository.gc(grace=0)


def repack(repo: str, max_chain: int, event: int) -> None:
    """Repack, and die at an event (0: live)."""
    progress = die_at(event) if event else SILENT
    with ModelRepository(repo, create=False, author="child", progress=progress) as repository:
        repository.repack(max_chain=max_chain)


def checkout(repo: str, version: str, folder: str, event: int) -> None:
    """Check a version out, and die at an event (0: live)."""
    with ModelRepository(repo, create=False, author="child", progress=die_at(event)) as repository:
        repository.checkout(version, folder)


def export(repo: str, version: str, file: str, event: int) -> None:
    """Export a version, over an older file, and die at an event (0: live)."""
    with ModelRepository(repo, create=False, author="child", progress=die_at(event)) as repository:
        repository.export_version(version, file, force=True)


def import_(repo: str, file: str, event: int) -> None:
    """Import a version, and die at an event (0: live)."""
    with ModelRepository(repo, create=False, author="child", progress=die_at(event)) as repository:
        repository.import_version(file)


def back_up(repo: str, folder: str, event: int) -> None:
    """Back a repository up, and die at an event (0: live)."""
    with ModelRepository(repo, create=False, author="child", progress=die_at(event)) as repository:
        repository.backup(folder)


def bring_back(backup: str, folder: str, event: int) -> None:
    """Restore a backup, and die at an event (0: live)."""
    restore(Path(backup), Path(folder), progress=die_at(event))


def save_many(repo: str, folder: str, branch: str, number: int, count: int) -> None:
    """Save ``count`` files, each with its own bytes, to a branch."""
    rng = random.Random(number)
    with ModelRepository(repo, create=False, author=f"child {number}") as repository:
        for turn in range(count):
            file = Path(folder) / f"{number}-{turn}.bin"
            file.write_bytes(rng.randbytes(3000) + b"\0" * 20000)
            repository.save_files(file, branch, message=f"{number}/{turn}")


def collect_many(repo: str, seconds: float) -> None:
    """Collect garbage again and again."""
    with ModelRepository(repo, create=False, author="collector") as repository:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            repository.gc(grace=0)


def begin(environment: dict[str, str], target: Callable[..., object], arguments: tuple[object, ...]) -> None:
    """What a child does first: the fork server has the environment of the test that was the first to start one."""
    os.environ.clear()
    os.environ.update(environment)
    target(*arguments)


def child(target: object, *arguments: object) -> Any:
    """A child process, not started yet, with this test's environment."""
    return SERVER.Process(target=begin, args=(dict(os.environ), target, arguments))


def run(target: object, *arguments: object, kill_after: float | None = None) -> int | None:
    """Run a child to its end, or kill it after some seconds; its exit code."""
    process = child(target, *arguments)
    process.start()
    process.join(kill_after)
    if process.exitcode is None:
        process.kill()
        process.join()
    return process.exitcode


def make(repo: str) -> None:
    """Open or create a repository and save into it."""
    file = Path(repo).parent / f"made-{os.getpid()}.bin"
    file.write_bytes(os.urandom(100))
    with ModelRepository(repo, author="child") as repository:
        repository.save_files(file)
