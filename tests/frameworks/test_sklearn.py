from __future__ import annotations

import os
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import MissingExtra, Unsupported, Untrusted
from lepton_ai.formats.frameworks import load, save
from lepton_ai.formats.frameworks.sklearn import FRAMEWORK, Sklearn
from lepton_ai.testing.frameworks import Example, FrameworkSuite, files_in, names, there_and_back

pytest.importorskip("sklearn")
pytestmark = pytest.mark.frameworks

from sklearn.base import BaseEstimator  # noqa: E402  (after the check that it is there)
from sklearn.datasets import load_digits  # noqa: E402
from sklearn.ensemble import RandomForestClassifier  # noqa: E402
from sklearn.linear_model import LinearRegression, LogisticRegression  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

IMAGES, DIGITS = load_digits(return_X_y=True)


class Own(BaseEstimator):
    """An estimator that skops cannot know."""

    def fit(self, x: object, y: object = None) -> Own:
        self.n_features_in_ = 64
        return self

    def predict(self, x: object) -> object:
        return np.zeros(len(x))


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=300)).fit(IMAGES, DIGITS)


@pytest.fixture(scope="module")
def forest() -> RandomForestClassifier:
    return RandomForestClassifier(5, random_state=1).fit(IMAGES, DIGITS)


def answers(model: object) -> bytes:
    return model.predict_proba(IMAGES).tobytes()


class TestSuite(FrameworkSuite):
    @pytest.fixture
    def framework(self) -> Sklearn:
        return FRAMEWORK

    @pytest.fixture
    def examples(self, pipeline, forest: RandomForestClassifier) -> list[Example]:
        return [
            Example(pipeline, lambda back: answers(back) == answers(pipeline)),
            Example(forest, lambda back: answers(back) == answers(forest), "skops"),
            Example(Own().fit(IMAGES), lambda back: isinstance(back, Own)),
        ]


def test_linear_models_need_no_trust(pipeline, tmp_path: Path) -> None:
    saved, back = there_and_back(pipeline, tmp_path)
    assert names(saved) == ["model_v1.skops"]
    assert saved.note == ""
    assert answers(back) == answers(pipeline)


def test_types_that_skops_does_not_know_are_named(forest: RandomForestClassifier, tmp_path: Path) -> None:
    saved = save(forest, tmp_path, "forest")
    assert "sklearn.tree._tree.Tree" in saved.note
    with pytest.raises(Untrusted, match=r"sklearn\.tree\._tree\.Tree") as refusal:
        load(tmp_path, ["forest.skops"])
    assert "trust=True" in refusal.value.hint
    save(Own(), tmp_path, "own")
    with pytest.raises(Untrusted, match="Own"):
        load(tmp_path, ["own.skops"])


def test_skops_that_can_be_fooled_is_refused(
    pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import skops

    save(pipeline, tmp_path, "m")
    monkeypatch.setattr(skops, "__version__", "0.11.0")
    with pytest.raises(Unsupported, match="CVE-2025-54412"):
        load(tmp_path, ["m.skops"])
    assert answers(load(tmp_path, ["m.skops"], trust=True)) == answers(pipeline)


@pytest.mark.parametrize("file", ["m.pkl", "m.pickle", "m.joblib"])
def test_pickle_is_refused_before_it_runs(tmp_path: Path, file: str) -> None:
    ran = tmp_path / "ran"

    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(ran),)

    (tmp_path / file).write_bytes(pickle.dumps(Payload()))
    with pytest.raises(Untrusted, match="pickle") as refusal:
        load(tmp_path, [file])
    assert "trust=True" in refusal.value.hint
    assert not ran.exists()
    load(tmp_path, [file], trust=True)
    assert ran.exists(), "the payload works: the refusal is what stopped it"


def test_skops_goes_before_a_pickle(pipeline, tmp_path: Path) -> None:
    save(pipeline, tmp_path, "m")
    (tmp_path / "a.pkl").write_bytes(b"never opened")
    assert answers(load(tmp_path, files_in(tmp_path))) == answers(pipeline)


@pytest.mark.parametrize("example", [None, IMAGES[:3].astype("float32")])
def test_onnx(pipeline, tmp_path: Path, example: object) -> None:
    pytest.importorskip("skl2onnx")
    runtime = pytest.importorskip("onnxruntime")
    saved, program = there_and_back(pipeline, tmp_path, "onnx", example_inputs=example)
    assert names(saved) == ["model_v1.onnx"]
    session = runtime.InferenceSession(program.SerializeToString())
    labels, chances = session.run(None, {"X": IMAGES.astype("float32")})
    assert (labels == pipeline.predict(IMAGES)).all()
    assert np.allclose(chances, pipeline.predict_proba(IMAGES), atol=1e-5)


def test_onnx_of_a_regression(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    save(LinearRegression().fit(IMAGES, DIGITS), tmp_path, "m", "onnx")
    assert files_in(tmp_path) == ["m.onnx"]


def test_onnx_needs_to_know_its_inputs(tmp_path: Path) -> None:
    pytest.importorskip("skl2onnx")
    with pytest.raises(Unsupported) as refusal:
        save(LogisticRegression(), tmp_path, "m", "onnx")
    assert "example_inputs" in refusal.value.hint


def test_broken_file_is_one_plain_error(tmp_path: Path) -> None:
    (tmp_path / "m.skops").write_bytes(b"PK\x03\x04 and nothing more")
    with pytest.raises(Unsupported, match=r"m\.skops"):
        load(tmp_path, ["m.skops"])


def test_missing_package_names_the_extra(pipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "skops.io", None)
    with pytest.raises(MissingExtra) as refusal:
        save(pipeline, tmp_path, "m")
    assert refusal.value.hint == "pip install 'lepton-ai[sklearn]'"
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    with pytest.raises(MissingExtra, match="skl2onnx"):
        save(pipeline, tmp_path, "m", "onnx")
