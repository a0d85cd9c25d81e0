"""Child processes that train: each version makes older blocks differences, and packs go with every save."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import cycle
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from lepton_ai.errors import Busy
from lepton_ai.history import save as saves
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.index import Index

SIZE = 5000
SETTLING = (
    (SqliteHistory, "commit"),
    (LocalBlobs, "put"),
    (LocalBlobs, "delete"),
    (Index, "add"),
    (Index, "forget"),
    (Index, "undrop"),
    (os, "unlink"),
)
"""What changes anything while a save settles."""


def layers(seed: int, count: int = 4) -> dict[str, np.ndarray]:
    """Weights from which trainings start."""
    rng = np.random.default_rng(seed)
    return {f"layer.{number}": rng.normal(0, 0.02, SIZE).astype(np.float32) for number in range(count)}


def train(weights: dict[str, np.ndarray], rng: np.random.Generator, frozen: int) -> None:
    """Change all layers a little but the first ``frozen`` ones."""
    for name in list(weights)[frozen:]:
        weights[name] = weights[name] + rng.normal(0, 1e-5, SIZE).astype(np.float32)


def die_settling(event: int) -> None:
    """Kill this process at the ``event``-th point of what a save does after its version counts."""
    real, left = saves.settled, [event]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def armed(*given: object) -> object:
        step()
        _watch(SETTLING, step)
        return real(*given)  # type: ignore[arg-type]

    saves.settled = armed  # type: ignore[assignment]


def _watch(functions: Iterable[tuple[object, str]], step: Callable[[], None]) -> None:
    def watch(owner: object, name: str) -> None:
        real = getattr(owner, name)

        def counted(*given: object, **named: object) -> object:
            step()
            result = real(*given, **named)
            step()
            return result

        setattr(owner, name, counted)

    for owner, name in functions:
        watch(owner, name)


def save_and_settle(repo: str, file: str, event: int) -> None:
    """Save one file, and die at a point of settling."""
    die_settling(event)
    with ModelRepository(repo, create=False, author="child") as repository:
        repository.save_files(file)


def repack_and_die(repo: str, max_chain: int, event: int) -> None:
    """Repack, and die before or after anything that changes the history, the index or a pack (0: live)."""
    left = [event]

    def step() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    _watch(SETTLING, step)
    with ModelRepository(repo, create=False, author="child") as repository:
        repository.repack(max_chain=max_chain)


def repack_many(repo: str, seconds: float) -> None:
    """Repack again and again, with one bound and another."""
    with ModelRepository(repo, create=False, author="packer") as repository:
        end = time.monotonic() + seconds
        for max_chain in cycle((11, 2, 4)):
            if time.monotonic() > end:
                break
            with suppress(Busy):  # somebody collects garbage
                repository.repack(max_chain=max_chain)


def collect_now_and_then(repo: str, seconds: float) -> None:
    """Collect garbage beside repacks, of which there is one at a time."""
    with ModelRepository(repo, create=False, author="collector") as repository:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(Busy):
                repository.gc(grace=0)
            time.sleep(0.1)


def train_many(repo: str, folder: str, branch: str, number: int, count: int) -> None:
    """Save ``count`` trainings from the same weights; half of their layers stay as they were."""
    rng, weights = np.random.default_rng(number), layers(0)
    with ModelRepository(repo, create=False, author=f"child {number}") as repository:
        for turn in range(count):
            train(weights, rng, frozen=2)
            file = Path(folder) / f"{number}-{turn}.safetensors"
            save_file(weights, file)
            repository.save_files(file, branch, message=file.stem)


def read_many(repo: str, folder: str, seconds: float) -> None:
    """Check versions out while others save."""
    rng = random.Random(1)
    with ModelRepository(repo, create=False, author="reader") as repository:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = repository.list_versions()
            for info in rng.sample(found, k=min(3, len(found))):
                (path,) = repository.checkout(repository.version(info.id), Path(folder) / "read" / info.id)
                assert path.read_bytes() == (Path(folder) / path.name).read_bytes()


def back_up_many(repo: str, target: str, seconds: float) -> None:
    """Back up, and verify what was copied, while others save."""
    with ModelRepository(repo, create=False, author="guard") as repository:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            repository.backup(target)
