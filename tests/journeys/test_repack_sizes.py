"""What a repack tells of the sizes of files, while others save."""

from __future__ import annotations

import hashlib

import pytest
from msgspec.structs import replace

from lepton_ai.history.refs.contract import Commit, History
from lepton_ai.repository import ModelRepository

from .test_turning import Model, model, repo

__all__ = ["model", "repo"]


def test_what_a_save_tells_meanwhile_of_a_file_stays(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = repo.home.history
    for _ in range(3):
        model.save(repo)
    first, second = (
        next(iter(history.contents([hashlib.sha256(data).digest()]).values()))
        for data in list(model.known.values())[:2]
    )
    saved = replace(first, manifest=second.manifest)  # as if it were what a save has stored anew
    commit, found = type(history).commit, []

    def meanwhile(self: History, change: Commit) -> None:
        if not change.sizes:
            commit(self, change)
            return
        commit(self, Commit("anna", "save", contents=(saved,)))
        commit(self, change)
        found.append(history.contents([first.sha256])[first.sha256])
        commit(self, Commit("anna", "save", contents=(first,)))

    monkeypatch.setattr(type(history), "commit", meanwhile)
    assert repo.repack(max_chain=1).recoded
    assert found == [saved]
