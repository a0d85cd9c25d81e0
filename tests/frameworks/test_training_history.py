from __future__ import annotations

import json
import math
import pickle
from pathlib import Path
from types import SimpleNamespace

import pytest

from lepton_ai.errors import NotFound, Unsupported, UsageError
from lepton_ai.formats.frameworks import history_of

LOSSES = {"loss": [0.5, 0.25], "val_loss": [0.75, 0.5]}


class History:
    """As Keras's callback of that name."""

    def __init__(self) -> None:
        self.history, self.epoch, self.params = LOSSES, [0, 1], {"epochs": 2}


def test_dicts_and_keras_histories() -> None:
    assert history_of(LOSSES) == LOSSES
    assert history_of(History()) == LOSSES
    assert history_of(SimpleNamespace(history=History())) == LOSSES, "a model after fit"
    assert history_of({"loss": (1, 2), "final": 3, "empty": []}) == {
        "loss": [1.0, 2.0],
        "final": [3.0],
        "empty": [],
    }
    assert history_of({}) == {}


def test_numpy_numbers_become_floats() -> None:
    numpy = pytest.importorskip("numpy")
    found = history_of({"loss": numpy.array([0.5, 0.25], "float32"), "lr": [numpy.float64(0.1)]})
    assert found == {"loss": [0.5, 0.25], "lr": [0.1]}
    assert {type(value) for values in found.values() for value in values} == {float}


def test_evaluation_results_are_flattened() -> None:
    results = {"validation_0": {"logloss": [0.5, 0.25]}, "validation_1": {"logloss": [0.75, 0.5]}}
    flat = {"validation_0/logloss": [0.5, 0.25], "validation_1/logloss": [0.75, 0.5]}
    assert history_of(results) == flat
    assert history_of(SimpleNamespace(evals_result=lambda: results)) == flat
    assert history_of(SimpleNamespace(evals_result_=results)) == flat


def test_loss_curve() -> None:
    assert history_of(SimpleNamespace(loss_curve_=[2.0, 1.0])) == {"loss": [2.0, 1.0]}


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "history.json"
    path.write_text(json.dumps(LOSSES))
    assert history_of(path) == history_of(str(path)) == LOSSES
    path.write_text('{"loss": [NaN, 1]}')
    first, second = history_of(path)["loss"]
    assert math.isnan(first)
    assert second == 1.0


def test_records_of_a_trainer(tmp_path: Path) -> None:
    log = [{"step": 1, "loss": 0.5, "note": "warm"}, {"step": 2, "eval_loss": 0.4}, {"step": 3, "loss": 0.25}]
    expected = {"step": [1.0, 2.0, 3.0], "loss": [0.5, 0.25], "eval_loss": [0.4]}
    (tmp_path / "trainer_state.json").write_text(json.dumps({"best": None, "log_history": log}))
    assert history_of(tmp_path / "trainer_state.json") == expected
    (tmp_path / "log.jsonl").write_text("\n".join(json.dumps(record) for record in log) + "\n")
    assert history_of(tmp_path / "log.jsonl") == expected


def test_csv(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("\ufeffepoch,loss,val_loss,name\n0,0.5,NA,a\n1,0.25,0.5,b\n2,0.125\n", encoding="utf-8")
    assert history_of(path) == {"epoch": [0.0, 1.0, 2.0], "loss": [0.5, 0.25, 0.125], "val_loss": [0.5]}


def test_pickles_are_never_read(tmp_path: Path) -> None:
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[Path]]:
            return Path.touch, (ran,)

    (tmp_path / "history.pkl").write_bytes(pickle.dumps(Payload()))
    with pytest.raises(Unsupported) as refusal:
        history_of(tmp_path / "history.pkl")
    assert ".json" in refusal.value.hint
    assert not ran.exists()


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", "{"), ("a.jsonl", "{}\n["), ("a.json", "[" * 100_000), ("a.json", "3")]
)
def test_broken_files_are_one_plain_error(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(Unsupported):
        history_of(tmp_path / name)


def test_what_is_no_history() -> None:
    with pytest.raises(NotFound):
        history_of("nowhere.json")
    with pytest.raises(Unsupported, match="SimpleNamespace"):
        history_of(SimpleNamespace())
    with pytest.raises(UsageError, match="'loss'"):
        history_of({"loss": ["low", "lower"]})
