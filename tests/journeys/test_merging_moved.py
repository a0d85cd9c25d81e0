"""Files that one side moved: a merge takes the new place, whichever side it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from lepton_ai.history.merging.units import moved
from lepton_ai.repository import ModelRepository
from lepton_ai.types import FileEntry
from tests.journeys.merged import arrays_of


def write(folder: Path, stem: str, text: str, **values: float) -> Path:
    folder.mkdir()
    tensors = {name: np.full(600, values.get(name, 0), np.float32) for name in "ab"}
    (folder / f"{stem}.safetensors").write_bytes(save(tensors))
    (folder / text).write_text("words\n")
    return folder


@pytest.mark.parametrize("into", ["main", "side"])
@pytest.mark.parametrize("ours", [{}, {"a": 1.0}])
def test_who_moved_does_not_matter(tmp_path: Path, into: str, ours: dict[str, float]) -> None:
    """main trained on, or did nothing to the files; side moved them, and trained on, too."""
    with ModelRepository(tmp_path / "repository", encrypt=False, author="anna") as repo:
        repo.save_files(write(tmp_path / "one", "model_v1", "notes.txt"), "main")
        repo.create_branch("side")
        repo.save_files(write(tmp_path / "two", "model_v1", "notes.txt", **ours), "main")
        repo.save_files(write(tmp_path / "three", "model_v2", "words.txt", b=2), "side")
        merged = repo.merge_branch("side" if into == "main" else "main", into)
        assert merged is not None
        assert [file.path for file in merged.files] == ["model_v2.safetensors", "words.txt"]
        found = arrays_of(merged)
        assert (found["a"][0], found["b"][0]) == (ours.get("a", 0), 2)
        assert repo.replay_merge(merged)


def test_ours_counts_where_both_moved(tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "repository", encrypt=False, author="anna") as repo:
        repo.save_files(write(tmp_path / "one", "model_v1", "notes.txt"), "main")
        repo.create_branch("side")
        repo.save_files(write(tmp_path / "two", "model_v2", "mine.txt", a=1), "main")
        repo.save_files(write(tmp_path / "three", "model_v3", "theirs.txt", b=2), "side")
        merged = repo.merge_branch("side")
        assert merged is not None
        assert [file.path for file in merged.files] == ["mine.txt", "model_v2.safetensors"]


@pytest.mark.parametrize(
    ("before", "beside", "after", "expected"),
    [
        ("m.onnx", "m.data", "other.onnx", "m.data"),
        ("m.onnx", "m.data", "sub/m.onnx", "sub/m.data"),
        ("sub/m.onnx", "sub/deep/m.data", "m.onnx", "deep/m.data"),
        ("a/m.onnx", "shared/m.data", "b/c/m.onnx", "b/shared/m.data"),
    ],
)
def test_what_a_file_describes_goes_with_it(before: str, beside: str, after: str, expected: str) -> None:
    entries = [FileEntry(path, "00" * 32, 1) for path in (before, beside)]
    assert [entry.path for entry in moved(entries, after)] == [after, expected]
