"""Whatever came before: after a repack every version is what it was, the bound holds, and nothing is left to do."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.history import save as saves
from lepton_ai.repository import ModelRepository
from lepton_ai.store.codecs import choice, tiles

LAYERS, SIZE = 3, 3000
STEPS = 24
Weights = dict[str, np.ndarray]


class Wanderer:
    """Does anything at all to a repository, and knows the bytes of every version by its id."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.folder, self.rng, self.numbers = folder, random.Random(seed), np.random.default_rng(seed)
        self.repo = ModelRepository(folder / "repo", author="anna")
        self.known: dict[str, bytes] = {}
        self.weights: dict[str, Weights] = {}
        self.deleted: set[str] = set()
        self.count = 0

    def fresh(self) -> Weights:
        return {f"l{n}": self.numbers.normal(0, 0.02, SIZE).astype(np.float32) for n in range(LAYERS)}

    def save(self, **patches: object) -> None:
        """On any branch: the parent a little trained, some layers frozen, or something from anywhere."""
        branch = self.rng.choice(self.repo.branches())
        head = branch.head
        how = self.rng.random()
        old = self.weights[head.id] if head and how < 0.8 else None
        if old is None:
            old = (
                self.rng.choice(list(self.weights.values())) if self.weights and how < 0.95 else self.fresh()
            )
        frozen = self.rng.randrange(LAYERS)
        new = {
            name: value if n < frozen else value + self.numbers.normal(0, 1e-5, SIZE).astype(np.float32)
            for n, (name, value) in enumerate(old.items())
        }
        file = self.folder / "model.safetensors"
        save_file(new, file)
        with pytest.MonkeyPatch.context() as patch:
            if self.rng.random() < 0.2:
                patch.setattr(saves, "settled", lambda *_: (0, []))
            if self.rng.random() < 0.2:
                patch.setattr(tiles, "kernel", lambda: None)
                patch.setattr(choice, "kernel", lambda: None)
            version = self.repo.save_files(file, branch.name)
        self.known[version.id], self.weights[version.id] = file.read_bytes(), new

    def branch(self) -> None:
        living = [info.id for info in self.repo.list_versions()]
        if living:
            self.count += 1
            self.repo.create_branch(f"b{self.count}", self.rng.choice(living))

    def delete_branch(self) -> None:
        names = [branch.name for branch in self.repo.branches() if branch.name != "main"]
        if names:
            self.repo.delete_branch(self.rng.choice(names))

    def delete(self) -> None:
        living = [info.id for info in self.repo.list_versions()]
        if len(living) > 3:
            self.repo.delete_version(self.repo.version(self.rng.choice(living)))

    def collect(self) -> None:
        self.repo.gc(grace=0)

    def lose_the_index(self) -> None:
        self.repo.close()
        (self.repo.home.place / "index.db").unlink(missing_ok=True)
        self.repo = ModelRepository(self.folder / "repo", author="anna")

    def repack(self) -> None:
        bound = self.rng.choice([1, 2, 3, 11])
        plan = self.repo.repack(max_chain=bound, dry_run=True)
        done = self.repo.repack(max_chain=bound)
        again = self.repo.repack(max_chain=bound)
        assert plan.before == done.before
        assert again.before == again.after == done.after
        assert (again.recoded, again.rewritten) == (0, 0)
        assert done.after.longest_chain <= bound
        if done.before.longest_chain <= bound:
            assert done.after.bytes <= done.before.bytes
        assert plan.after.bytes == pytest.approx(done.after.bytes, rel=0.1)

    def check(self) -> None:
        for number, info in enumerate(self.repo.list_versions()):
            (path,) = self.repo.checkout(
                self.repo.version(info.id), self.folder / f"out-{number}", force=True
            )
            assert path.read_bytes() == self.known[info.id]
        assert self.repo.verify().clean

    def wander(self) -> None:
        acts = [self.save] * 8 + [self.branch] * 2 + [self.repack] * 2
        acts += [self.delete_branch, self.delete, self.collect, self.lose_the_index]
        self.save()
        for _ in range(STEPS):
            self.rng.choice(acts)()
        self.check()
        self.repack()
        self.check()
        self.repo.gc(grace=0)
        self.check()


@pytest.mark.parametrize("seed", range(4))
def test_after_anything(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    Wanderer(tmp_path, seed).wander()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 160))
def test_after_more_of_anything(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    Wanderer(tmp_path, seed).wander()
