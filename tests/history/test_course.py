"""One parameter through time."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.counting import CountingBlobs
from tests.history.diff.models import repo, save

__all__ = ["repo"]


def _line(repo: ModelRepository) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    arrays = [rng.normal(size=(20, 30)).astype(np.float32) for _ in range(2)]
    save(
        repo,
        {"w": arrays[0]},
        params={"train": {"lr": 0.1}, "optimizer": "sgd", "note": "x"},
        message="first",
    )
    save(repo, {"w": arrays[0]}, name="other", metrics={"a": 1})
    save(repo, {"other": arrays[0]})
    save(repo, {"w": arrays[1]}, params={"anything": 3})
    save(repo, {"w": arrays[1][:5]})
    return arrays


def test_every_statistic(repo: ModelRepository) -> None:
    first, _ = _line(repo)
    wide = first.astype(float)
    expected = {
        "norm": np.linalg.norm(wide), "mean": wide.mean(), "std": wide.std(), "min": wide.min(), "max": wide.max(),
        "rms": np.sqrt((wide**2).mean()), "nan": 0, "inf": 0,
    }  # fmt: skip
    for stat, value in expected.items():
        points = repo.tensor_history("w", stat=stat).points
        assert [p.version for p in points] == ["v1", "v2", "v3", "v4", "v5"]
        assert points[0].value == points[1].value == pytest.approx(value, rel=1e-9, abs=1e-12)
        assert (points[1].delta, points[2].value, points[3].delta) == (0, None, None)
        assert points[2].note == "no such tensor"


def test_an_element_and_where_it_is_missing(repo: ModelRepository) -> None:
    first, second = _line(repo)
    course = repo.branch("main").tensor_history("w", element=(-1, 7))
    assert course.what == "[-1, 7]"
    assert [p.value for p in course.points] == [first[-1, 7], first[-1, 7], None, second[-1, 7], second[4, 7]]
    assert [p.value for p in repo.tensor_history("w", element=(19, 0)).points][-1] is None
    with pytest.raises(UsageError, match=r"no element \[20, 0\]"):
        repo.tensor_history("w", element=(20, 0))


def test_how_far_it_moved(repo: ModelRepository) -> None:
    first, second = (array.astype(float) for array in _line(repo))
    values = [p.value for p in repo.tensor_history("w", stat="moved").points]
    moved = np.linalg.norm(second - first) / np.linalg.norm(first)
    assert values == [None, 0, None, pytest.approx(moved), None]


def test_the_update_is_what_the_params_say_of_training(repo: ModelRepository) -> None:
    _line(repo)
    points = repo.tensor_history("w").points
    assert points[0].update == {"optimizer": "sgd", "train.lr": 0.1}
    assert points[0].params["note"] == "x"
    assert points[3].update == {"anything": 3}, "none of them is known: all"


def test_what_did_not_change_is_read_once(repo: ModelRepository) -> None:
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(300, 300)).astype(np.float32)
    for number in range(4):
        save(repo, {"w": weight, "b": rng.normal(size=100)}, metrics={"epoch": number})
    counting = CountingBlobs(repo.home.store._reader._blobs)
    repo.home.store._reader._blobs = counting
    repo.tensor_history("w")
    assert counting.bytes_read < 1.2 * weight.nbytes


def test_what_is_not_there(repo: ModelRepository) -> None:
    _line(repo)
    with pytest.raises(NotFound, match="no version of branch 'main' has a tensor 'x'"):
        repo.tensor_history("x")
    with pytest.raises(UsageError, match="there is no statistic 'median'"):
        repo.tensor_history("w", stat="median")
