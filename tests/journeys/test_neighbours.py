"""A file that says where tensors are in others is shared by versions; those others are each version's own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from lepton_ai import errors
from lepton_ai.repository import ModelRepository
from tests.journeys.sights import any_disk, left_alone, only_where_files_are_recognised, quick, read, repo

__all__ = ["any_disk", "quick", "read", "repo"]
pytestmark = [only_where_files_are_recognised, pytest.mark.usefixtures("quick", "any_disk")]

COUNT = 8
WEIGHTS = np.arange(2500, dtype=np.float32).reshape(50, 50)


@pytest.fixture(params=["list", "read all"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With the list of what was read, and without: nothing else may differ."""
    monkeypatch.delenv("LEPTON_AI_READ_ALL", raising=False)
    if request.param == "read all":
        monkeypatch.setenv("LEPTON_AI_READ_ALL", "1")
    return str(request.param)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with ``m.onnx``, and its weights in ``m.data``."""
    folder = tmp_path / "model"
    folder.mkdir()
    _write(folder / "m.onnx", external="m.data")
    left_alone()
    return folder


def _write(place: Path, external: str | None = None) -> None:
    weights = [numpy_helper.from_array(WEIGHTS + number, f"w{number}") for number in range(COUNT)]
    nodes = [helper.make_node("Identity", [f"w{number}"], [f"y{number}"]) for number in range(COUNT)]
    outputs = [
        helper.make_tensor_value_info(f"y{number}", TensorProto.FLOAT, [50, 50]) for number in range(COUNT)
    ]
    made = helper.make_model(helper.make_graph(nodes, "g", [], outputs, weights), doc_string="d" * 8000)
    onnx.save_model(
        made, str(place), save_as_external_data=external is not None, location=external, size_threshold=0
    )


def _names(repo: ModelRepository, version: str) -> list[str]:
    return [tensor.name for tensor in ModelRepository(repo.path).version(version).tensors()]


def _cut(model: Path) -> bytes:
    """Halve the weights; returns what they were."""
    whole = (model / "m.data").read_bytes()
    left_alone((model / "m.data", whole[: len(whole) // 2]))
    return whole


ALL = [f"w{number}" for number in range(COUNT)]


@pytest.mark.usefixtures("way")
def test_a_cut_neighbour_costs_other_versions_nothing(repo: ModelRepository, model: Path) -> None:
    assert repo.save_files(model).notes == ()
    _cut(model)
    for number in range(2):
        note, *alike = repo.save_files(model).notes
        assert "m.onnx is kept as opaque bytes" in note
        assert len(alike) == number, "the second holds the same files as the first"
    versions = ModelRepository(repo.path)
    assert _names(repo, "v1") == ALL
    np.testing.assert_array_equal(versions.version("v1").tensor("w7"), WEIGHTS + 7)
    assert _names(repo, "v2") == ALL[: COUNT // 2]
    np.testing.assert_array_equal(versions.version("v2").tensor("w3"), WEIGHTS + 3)
    assert versions.verify().clean


@pytest.mark.usefixtures("way")
def test_a_tensor_beyond_the_end_of_a_neighbour_is_told_plainly(repo: ModelRepository, model: Path) -> None:
    repo.save_files(model)
    _cut(model)
    cut = repo.save_files(model)
    with pytest.raises(
        errors.Unsupported, match=r"'w7' of m\.onnx ends at byte \d+ of m\.data, which has only"
    ):
        cut.tensor("w7")
    (model / "m.data").unlink()
    alone = repo.save_files(model)
    with pytest.raises(errors.Unsupported, match=r"'w0' of m\.onnx lies in m\.data, which the version lacks"):
        alone.tensor("w0")
    assert alone.tensors() == []


@pytest.mark.usefixtures("way")
def test_a_neighbour_that_comes_later_makes_the_tensors_known(repo: ModelRepository, model: Path) -> None:
    """Also when each of the files alone has not changed since it was read."""
    whole = _cut(model)
    assert repo.save_files(model).notes
    assert _names(repo, "v1") == []
    left_alone((model / "m.data", whole))
    repo.save_files(model / "m.data")
    last = repo.save_files(model)
    assert last.notes == ()
    assert _names(repo, last.name) == ALL
    np.testing.assert_array_equal(last.tensor("w7"), WEIGHTS + 7)


def test_who_describes_unchanged_files_is_recognised(
    repo: ModelRepository, model: Path, read: list[str]
) -> None:
    """Its headers are asked, and nothing else is read."""
    repo.save_files(model)
    read.clear()
    repo.save_files(model)
    assert read == ["m.onnx"]


@pytest.mark.usefixtures("way")
@pytest.mark.parametrize("together", [True, False])
def test_another_name_that_no_reader_takes_hides_nothing(
    repo: ModelRepository, tmp_path: Path, together: bool
) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    _write(folder / "m.onnx")
    left_alone()
    if not together:
        repo.save_files(folder)
    left_alone((folder / "m.onnx.old", (folder / "m.onnx").read_bytes()))
    repo.save_files(folder if together else folder / "m.onnx.old")
    assert set(_names(repo, "v1")) == set(ALL)
