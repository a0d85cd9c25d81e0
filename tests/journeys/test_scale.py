"""With 1,000 versions a command opens as many objects and reads as many rows and bytes as with 50, and with 10."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.history.lines import Lines
from lepton_ai.history.reading import Reader
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.store import Store
from lepton_ai.testing.counting import CountingHistory

FIFTH, FEW, SOME, MANY = 5, 10, 50, 1000


@dataclass
class Cost:
    """What one command read."""

    packs: int
    reads: int
    bytes: int
    rows: int
    calls: int


class Counted:
    """A repository whose reads are counted."""

    def __init__(self, place: Path) -> None:
        self.repo = ModelRepository(place, author="anna")
        self.blobs = CountingBlobs(LocalBlobs(place / ".lepton"))
        self.history = CountingHistory(self.repo.home.history)
        home = self.repo.home
        home.history = self.history  # type: ignore[assignment]
        home.store = Store(self.blobs, home.place / "index.db", home.keyring, home.place / "tmp")
        self.repo.lines = Lines(self.history)
        self.repo.reader = Reader(self.history, home.store)

    def cost(self, work: Callable[[], object]) -> Cost:
        self.blobs.reset()
        rows, calls = self.history.rows_read, self.history.calls
        work()
        packs, reads, read = len(self.blobs.opened), self.blobs.gets, self.blobs.bytes_read
        return Cost(packs, reads, read, self.history.rows_read - rows, self.history.calls - calls)


def _model(folder: Path, number: int, rng: np.random.Generator, base: np.ndarray) -> Path:
    """A fine-tune: the same few elements differ from the first version each time."""
    weights = base.copy()
    weights[:64] += rng.normal(size=64).astype(np.float32) * 1e-3
    file = folder / "model.safetensors"
    save_file({"layer.weight": weights, "layer.bias": base[:10]}, file, {"n": f"{number:06d}"})
    return file


@pytest.fixture(scope="module")
def costs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, dict[str, Cost]]:
    folder = tmp_path_factory.mktemp("scale")
    rng = np.random.default_rng(3)
    base = rng.normal(size=4000).astype(np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "LEPTON_AI_NO_PROVENANCE", "1"
        )  # git would cost half of the time, and is not what is counted
        counted = Counted(folder / "repo")
    repo = counted.repo
    result: dict[int, dict[str, Cost]] = {}
    for number in range(1, MANY + 1):
        file = _model(folder, number, rng, base)
        if number not in (FIFTH, FEW, SOME, MANY):
            repo.save_files(file)
            continue
        result[number] = {
            "save": counted.cost(lambda file=file: repo.save_files(file)),
            "log": counted.cost(lambda: repo.log("branch/main", limit=5)),
            "list": counted.cost(lambda: repo.list_versions(limit=5)),
            "list of a branch": counted.cost(lambda: repo.list_versions("main", limit=5)),
            "checkout": counted.cost(
                lambda number=number: repo.checkout(f"v{number}", folder / f"out{number}")
            ),
            "tensor": counted.cost(lambda number=number: repo.version(f"v{number}").tensor("layer.bias")),
            "stats": counted.cost(repo.stats),
        }
    repo.close()
    return result


@pytest.mark.parametrize("command", ["save", "log", "list", "list of a branch", "checkout", "tensor"])
@pytest.mark.parametrize("number", [SOME, MANY])
def test_the_cost_does_not_grow(costs: dict[int, dict[str, Cost]], number: int, command: str) -> None:
    few, many = costs[FEW][command], costs[number][command]
    assert many.packs == few.packs
    assert many.reads == few.reads
    assert many.rows == few.rows
    assert many.calls == few.calls
    assert many.bytes <= few.bytes * 1.02


def test_the_fiftieth_save_reads_what_the_fifth_did(costs: dict[int, dict[str, Cost]]) -> None:
    fifth, fiftieth = costs[FIFTH]["save"], costs[SOME]["save"]
    assert (fiftieth.packs, fiftieth.reads) == (fifth.packs, fifth.reads)
    assert fiftieth.bytes <= fifth.bytes * 1.02


def test_stats_ask_for_many_versions_at_once(costs: dict[int, dict[str, Cost]]) -> None:
    """Of a version they read its rows and the description of its file: no block, and nothing twice."""
    few, many = costs[FEW]["stats"], costs[MANY]["stats"]
    assert many.calls <= few.calls + MANY / 20
    assert many.rows <= few.rows / FEW * MANY * 1.02
    assert many.reads <= MANY
    assert many.bytes <= few.bytes / FEW * MANY * 1.02
