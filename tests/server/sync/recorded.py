"""Commits as real clients make them: a repository whose history remembers what it was asked to apply."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes import branches
from lepton_ai.history.changes.attempt import Act, attempt, now
from lepton_ai.history.config import Config
from lepton_ai.history.lines import MAIN
from lepton_ai.history.refs.contract import Commit
from lepton_ai.history.refs.memory import MemoryHistory
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.seal.keyring import Keyring

ID = "ab" * 16


class Remembering(MemoryHistory):
    """A history that keeps every commit that it applied."""

    def __init__(self) -> None:
        super().__init__()
        self.applied: list[Commit] = []

    def commit(self, change: Commit) -> None:
        super().commit(change)
        self.applied.append(change)


class Client:
    """A repository somewhere, with its packs in ``place`` and its commits remembered."""

    def __init__(self, place: Path, *, encrypt: bool = True) -> None:
        self.history = Remembering()
        self.keys = place / "keys"
        self.keyring = Keyring.create(self.keys, ID, encrypt=encrypt)
        self.config = Config(ID, "2026-11-20T10:30:00.000000Z", encrypt)
        self.blobs = LocalBlobs(place / "objects")
        self.home = AnyHome(
            place, self.config, self.history, self.blobs, named="client", keyring=lambda: self.keyring
        )
        self.repository = ModelRepository.over(self.home, author="ada")
        self.folder = place / "work"
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = self.repository.lines
        attempt(self.history, lambda: branches.create(lines, MAIN, Act("ada", now())))

    def save(self, data: bytes, **carried: Any) -> Commit:
        """Save a file; the commit that made the version."""
        (self.folder / "model.bin").write_bytes(data)
        self.repository.save_files(self.folder / "model.bin", **carried)
        return next(change for change in reversed(self.history.applied) if change.versions)
