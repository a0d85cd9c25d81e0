"""A repository whose history and packs are not in its folder: every verb works, or says plainly why not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai import ModelRepository, Unsupported
from lepton_ai.errors import KeyMissing
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.config import Config
from lepton_ai.history.home import create
from lepton_ai.history.refs.memory import MemoryHistory
from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.seal.keyring import Keyring, open_keys, received

ID = "0123456789abcdef"


@pytest.fixture
def repo(tmp_path: Path) -> Iterator[ModelRepository]:
    """A repository with its history in a file elsewhere and its packs in memory."""
    create(tmp_path / "seed", 1, "me", encrypt=False)
    history = SqliteHistory(tmp_path / "seed" / ".lepton" / "history.db")
    keyring = Keyring.create(tmp_path / "keys", ID)
    place = tmp_path / "cache"
    place.mkdir()
    config = Config(ID, "2026-11-20T10:30:00.000000Z", encrypted=True)
    home = AnyHome(place, config, history, MemoryBlobs(), named="over there", keyring=lambda: keyring)
    with ModelRepository.over(home, author="ada") as repo:
        yield repo


def _saved(repo: ModelRepository, folder: Path, data: bytes) -> str:
    file = folder / "model.bin"
    file.write_bytes(data)
    return repo.save_files([file], metrics={"loss": 0.5}).name


def test_the_journey_works_without_a_folder(repo: ModelRepository, tmp_path: Path) -> None:
    first = os.urandom(100_000)
    assert _saved(repo, tmp_path, first) == "v1"
    assert _saved(repo, tmp_path, first[:-1] + b"x") == "v2"
    repo.rollback("v1")
    repo.checkout("v3", tmp_path / "out")
    assert (tmp_path / "out" / "model.bin").read_bytes() == first
    repo.delete_version("v3")
    repo.gc(grace=0)
    assert repo.verify().clean
    stats = repo.stats()
    assert stats.parts.unique + stats.parts.shared > 100_000
    assert stats.versions[0].info.author == "ada"
    assert repr(repo) == "<ModelRepository over there>"


def test_a_backup_says_what_to_do_instead(repo: ModelRepository, tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"over there is none .lepton clone"):
        repo.backup(tmp_path / "copy")


def test_a_home_in_memory_opens(tmp_path: Path) -> None:
    config = Config(ID, "2026-11-20T10:30:00.000000Z", encrypted=False)
    with ModelRepository.over(AnyHome(tmp_path, config, MemoryHistory(), MemoryBlobs(), named="m")) as repo:
        assert repo.list_versions() == []
        assert repo.home.is_current
    assert not repo.home.is_current


def test_a_servers_own_key_file_wraps_what_it_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = Keyring.create(tmp_path / "theirs", ID)
    ours = tmp_path / "ours"
    ours.mkdir()
    for file in (tmp_path / "theirs").glob("*.json"):
        (ours / file.name).write_bytes(file.read_bytes())
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(tmp_path / "not there"))
    ring = received(ours, ID, theirs.hand_over())
    assert ring.id_key == theirs.id_key
    ring.wrap_with_key_file(tmp_path / "server.key", name="server")
    assert open_keys(ours, ID, key_file=tmp_path / "server.key").id_key == theirs.id_key
    with pytest.raises(KeyMissing, match=r"other.key .*has to be the key file that wrapped it"):
        open_keys(ours, ID, key_file=tmp_path / "other.key")
