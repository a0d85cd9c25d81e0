"""What the tests' child processes do. They start from a fork server that has imported everything: cheap to kill."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

from lepton_ai.repository import ModelRepository

SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(
    ["tests.durability.children", "numpy", "zstandard", "cryptography.hazmat.primitives.ciphers.aead"]
)

WATCHED = ("fsync", "rename", "replace", "unlink", "remove", "write", "open", "mkdir")


def die_at(event: int) -> None:
    """Kill this process at its ``event``-th call of a function that changes the disk."""
    left = [event]

    def watch(name: str) -> None:
        real = getattr(os, name)

        def counted(*arguments: object, **named: object) -> object:
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **named)

        setattr(os, name, counted)

    for name in WATCHED:
        watch(name)


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


def run(target: object, *arguments: object, kill_after: float | None = None) -> int | None:
    """Run a child to its end, or kill it after some seconds; its exit code."""
    process = SERVER.Process(target=target, args=arguments)  # type: ignore[arg-type]
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
