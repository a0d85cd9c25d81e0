"""The sequence that the design promises, line by line, with a real Keras model and what ``fit`` returned."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai import ModelRepository, NotFound

pytestmark = [
    pytest.mark.frameworks,
    # Keras 3.15 on TensorFlow 2.21 converts variables the way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning"),
    # Keras, of an optimizer that has not taken a step when its model is saved: it has no moments to load.
    pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer 'adam:UserWarning"),
]
ROWS = np.random.default_rng(7).normal(size=(32, 4)).astype("float32")
WANTED = (ROWS.sum(axis=1) > 0).astype("int32")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def keras() -> Any:
    import keras

    keras.utils.set_random_seed(7)
    return keras


@pytest.fixture
def model(keras: Any) -> Any:
    network = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "relu"), keras.layers.Dense(2, "softmax")]
    )
    network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    return network


def _lines(repo: ModelRepository) -> list[tuple[str, str, str]]:
    return [(v.name, v.status, v.branch) for v in repo.list_versions()]


def _answers(model: Any) -> np.ndarray[Any, np.dtype[Any]]:
    return np.asarray(model.predict(ROWS, verbose=0))


def test_the_sequence_runs_exactly_so(tmp_path: Path, model: Any) -> None:
    before = datetime.now(UTC)
    repo = ModelRepository(tmp_path / "path" / "to" / "repository")  # opens or creates
    branch = repo.create_branch("feature_new_model")
    repo.save_model(model, branch, "model_v1")  # no draft open → creates the next version, v1
    first = _answers(model)
    fit = model.fit(ROWS, WANTED, epochs=2, verbose=0)
    v2 = branch.create_version("v2")  # opens v2; the next save fills it
    repo.save_model(
        model, branch, "model_v2", metrics={"accuracy": 0.97}, params={"units": 8},
        dataset={"name": "rows", "rows": 32}, history=fit.history, message="two epochs",
    )  # fmt: skip
    second = _answers(model)
    assert (first != second).any()
    assert v2.name == "v2"
    assert branch.draft is None
    _check_the_list(repo, before)
    _check_what_v2_carries(repo, fit)

    branch.rollback_to_version("v1")  # creates v3 with v1's content
    v1, v3 = repo.version("v1", branch), repo.version("v3", branch)
    assert branch.head == v3
    assert v3.content_id == v1.content_id
    assert v3.operation.kind == "rollback"
    assert v3.operation.source == v1.id
    branch.delete_version("v3")  # tombstone; the branch stands on v2 again
    assert branch.head == repo.version("v2", branch)
    assert repo.version("v3", branch, deleted=True).status == "Deleted"
    with pytest.raises(NotFound, match="deleted"):
        repo.version("v3", branch)
    model = repo.load_model("v2", branch)  # the framework's own object
    assert _answers(model).tobytes() == second.tobytes()
    assert _answers(repo.load_model("v1", branch)).tobytes() == first.tobytes()

    assert repo.branch("main").head is None
    head = branch.head
    repo.merge_branch("feature_new_model")  # into="main" by default; unborn main fast-forwards
    assert repo.branch("main").head == head
    repo.delete_branch("feature_new_model")  # merged versions stay
    assert [b.name for b in repo.branches()] == ["main"]
    for v in repo.list_versions():  # all branches; deleted ones hidden
        assert (v.name, v.status, v.branch, bool(v.created_at), bool(v.updated_at)) in [
            ("v1", "Active", "main", True, True),
            ("v2", "Active", "main", True, True),
        ]
    assert [v.name for v in repo.list_versions()] == ["v1", "v2"]
    assert {v.name: v.status for v in repo.list_versions(deleted=True)}["v3"] == "Deleted"
    assert _answers(repo.load_model("v2")).tobytes() == second.tobytes()
    assert repo.verify().clean


def _check_the_list(repo: ModelRepository, before: datetime) -> None:
    assert _lines(repo) == [("v1", "Active", "feature_new_model"), ("v2", "Active", "feature_new_model")]
    for line in repo.list_versions():
        assert TIME.fullmatch(line.created_at)
        assert TIME.fullmatch(line.updated_at)
        created, updated = map(datetime.fromisoformat, (line.created_at, line.updated_at))
        assert before <= created <= updated <= datetime.now(UTC)


def _check_what_v2_carries(repo: ModelRepository, fit: Any) -> None:
    version = repo.version("v2", "feature_new_model")
    assert version.metrics == {"accuracy": 0.97}
    assert version.params == {"units": 8}
    assert version.dataset is not None
    assert (version.dataset.name, version.dataset.rows) == ("rows", 32)
    assert version.history == {name: pytest.approx(curve) for name, curve in fit.history.items()}
    assert version.message == "two epochs"
    assert [file.path for file in version.files] == ["model_v2.keras"]
    assert [file.path for file in repo.version("v1", "feature_new_model").files] == ["model_v1.keras"]


def test_the_history_object_itself_will_do(tmp_path: Path, model: Any) -> None:
    fit = model.fit(ROWS, WANTED, epochs=2, verbose=0)
    repo = ModelRepository(tmp_path)
    version = repo.save_model(model, history=fit)
    assert version.history == {name: pytest.approx(curve) for name, curve in fit.history.items()}
