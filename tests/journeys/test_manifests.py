"""What stands between a file's name and its blocks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest
import torch
from safetensors.torch import save_file

from lepton_ai import ModelRepository, errors
from lepton_ai.history import manifest


def test_exchanged_manifests_are_damage(tmp_path: Path) -> None:
    """The table that leads from a file to its manifest is not sealed; the manifest is, and it names its file."""
    repo = ModelRepository(tmp_path / "repo")
    (tmp_path / "one").write_bytes(b"1" * 5000)
    (tmp_path / "other").write_bytes(b"2" * 5000)
    version = repo.save_files([tmp_path / "one", tmp_path / "other"], repo.branch("main"))
    with sqlite3.connect(tmp_path / "repo" / ".lepton" / "history.db") as database:
        (a, one), (b, two) = database.execute(
            "SELECT sha256, manifest FROM contents WHERE size = 5000"
        ).fetchall()
        database.execute("UPDATE contents SET manifest = ? WHERE sha256 = ?", (two, a))
        database.execute("UPDATE contents SET manifest = ? WHERE sha256 = ?", (one, b))
    database.close()
    with pytest.raises(errors.Damaged, match="not what was saved"):
        version.checkout(tmp_path / "out")


def test_a_loaded_model_is_the_versions_own(tmp_path: Path) -> None:
    """The same for tensors and for what is loaded without a checkout."""
    repo = ModelRepository(tmp_path / "repo")
    for number in (1, 2):
        save_file({"w": torch.full((4096,), float(number))}, tmp_path / "model.safetensors")
        repo.save_files([tmp_path / "model.safetensors"], repo.branch("main"))
    with sqlite3.connect(tmp_path / "repo" / ".lepton" / "history.db") as database:
        size = (tmp_path / "model.safetensors").stat().st_size
        rows = database.execute("SELECT manifest FROM contents WHERE size = ?", (size,)).fetchall()
        database.execute("UPDATE contents SET manifest = ? WHERE size = ?", (rows[0][0], size))
    database.close()
    again = ModelRepository(tmp_path / "repo")
    broken = 0
    for name in ("v1", "v2"):
        try:
            assert float(again.load_model(name, "main")["w"][0]) == int(name[1:])
        except errors.Damaged:
            broken += 1
            with pytest.raises(errors.Damaged):
                again.version(name).tensor("w")
    assert broken == 1


def test_manifests_of_before_are_checked_by_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not name their file; then the whole file is hashed again."""
    encode = manifest.encode
    monkeypatch.setattr(manifest, "encode", lambda m: encode(msgspec.structs.replace(m, sha256=b"")))
    test_exchanged_manifests_are_damage(tmp_path)
