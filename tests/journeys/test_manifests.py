"""What stands between a file's name and its blocks."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import msgspec
import pytest

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


def test_manifests_of_before_are_checked_by_the_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not name their file; then the whole file is hashed again."""
    encode = manifest.encode
    monkeypatch.setattr(manifest, "encode", lambda m: encode(msgspec.structs.replace(m, sha256=b"")))
    test_exchanged_manifests_are_damage(tmp_path)
