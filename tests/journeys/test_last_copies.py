"""The last other copy of a block is deleted only when what replaces it was seen to be there and right."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import ModelRepository, errors
from lepton_ai.history import save as saves
from lepton_ai.history import writing

COUNT = 60_000
Weights = dict[str, np.ndarray]


def _weights(names: str = "abcdefgh") -> Weights:
    random = np.random.default_rng(0)
    return {name: random.normal(0, 0.02, COUNT).astype(np.float32) for name in names}


def _train(weights: Weights, names: str, seed: int = 1) -> None:
    random = np.random.default_rng(seed)
    for name in names:
        weights[name] = weights[name] + random.normal(0, 1e-5, COUNT).astype(np.float32)


class Place:
    """A repository and the versions that were saved into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.repo = ModelRepository(folder / "repo")
        self.saved: dict[str, bytes] = {}

    def save(self, weights: Weights) -> None:
        file = self.folder / "model.safetensors"
        save_file(weights, file)
        self.saved[self.repo.save_files(file, "main").name] = file.read_bytes()

    def again(self) -> ModelRepository:
        self.repo = ModelRepository(self.folder / "repo", author="another")
        return self.repo

    def check(self) -> None:
        """Every version reads back, for somebody who begins with what the packs hold."""
        repo = self.again()
        for name, data in self.saved.items():
            out = self.folder / f"out-{name}"
            repo.version(name).checkout(out)
            assert (out / "model.safetensors").read_bytes() == data
        assert repo.verify().clean

    def packs(self) -> set[Path]:
        return set((self.folder / "repo").rglob("*.pack"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_pack_that_is_just_missing_in_the_index(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process reads a pack's footer again: for a moment the index knows nothing of the pack."""
    weights = _weights()
    place.save(weights)
    other = ModelRepository(place.folder / "repo", author="reader").home.store._index
    other.packs()
    gone, back, threads = threading.Event(), threading.Event(), list[threading.Thread]()
    real = other._blobs

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(real, name)

        def list(self, *prefix: str) -> object:  # between forgetting and entering
            gone.set()
            back.wait(20)
            return real.list(*prefix)

    index = place.repo.home.store._index
    objects = index.objects

    def slowly(pack: str) -> object:
        if not threads:
            threads.append(threading.Thread(target=other.reload, args=(pack,)))
            threads[0].start()
            gone.wait(20)
        return objects(pack)

    monkeypatch.setattr(other, "_blobs", Slow())
    monkeypatch.setattr(index, "objects", slowly)
    _train(weights, "a")
    place.save(weights)
    assert threads, "settling looked at no pack"
    back.set()
    threads[0].join()
    place.check()


def test_rows_that_the_index_lost(place: Place) -> None:
    weights = _weights()
    place.save(weights)
    version = place.repo.version("v1")
    (found,) = place.repo.reader.manifests(version.files).values()
    blocks = {stream.key: stream.blocks for stream in found.content.streams}
    place.repo.close()
    with closing(sqlite3.connect(place.folder / "repo" / ".lepton" / "index.db")) as index:
        assert index.execute("DELETE FROM objects WHERE id = ?", (blocks["h"][:32],)).rowcount == 1
        index.commit()
    place.again()
    _train(weights, "abcdefg")
    weights["h"] = np.random.default_rng(9).normal(0, 0.02, COUNT).astype(np.float32)
    place.save(weights)
    place.repo.close()
    (place.folder / "repo" / ".lepton" / "index.db").unlink()
    place.check()


def test_garbage_that_nobody_ever_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """A save was lost after its packs were written, and these have rotted since: they replace nothing."""
    weights = _weights("abcd")
    place.save(weights)
    before = place.packs()

    def lost(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(saves, "attempt", lost)
        tuned = dict(weights)
        _train(tuned, "abcd", seed=2)
        with pytest.raises(KeyboardInterrupt):
            place.save(tuned)
    for pack in place.packs() - before:
        if pack.stat().st_size > 4 * COUNT:
            pack.chmod(0o644)
            with pack.open("r+b") as file:
                for at in range(1000, pack.stat().st_size - 4000, 20_000):
                    file.seek(at)
                    file.write(b"rot")
    place.again()
    _train(weights, "a")
    place.save(weights)
    for name, data in place.saved.items():
        out = place.folder / f"now-{name}"
        place.repo.version(name).checkout(out)
        assert (out / "model.safetensors").read_bytes() == data


def test_a_file_that_is_replaced_after_its_layout_was_read(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one of equal size: its bytes must not be stored with the other's tensors."""
    real = writing.layouts

    def layouts(sources: dict[str, writing.FileSource], *, only: Collection[str]) -> object:
        found = real(sources, only=only)
        save_file(_weights("cd"), place.folder / "model.safetensors")
        return found

    monkeypatch.setattr(writing, "layouts", layouts)
    with pytest.raises(errors.StorageFailed, match="changed while it was being saved"):
        place.save(_weights("ab"))
    assert not place.repo.list_versions()
