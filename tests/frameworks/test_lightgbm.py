from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import MissingExtra, Unsupported, Untrusted
from lepton_ai.formats.frameworks import load, save
from lepton_ai.formats.frameworks.lightgbm import FRAMEWORK, Lightgbm
from lepton_ai.testing.frameworks import Example, FrameworkSuite, names, there_and_back

lightgbm = pytest.importorskip("lightgbm")
pytestmark = pytest.mark.frameworks
RNG = np.random.default_rng(1)
ROWS = RNG.normal(size=(200, 6))
CLASSES = (ROWS[:, 0] > 0).astype(int)
QUIET = {"verbose": -1, "num_threads": 1}


@pytest.fixture(scope="module")
def booster():
    return lightgbm.train({"objective": "regression", **QUIET}, lightgbm.Dataset(ROWS, ROWS[:, 1]), 5)


@pytest.fixture(scope="module")
def classifier():
    return lightgbm.LGBMClassifier(n_estimators=4, **QUIET).fit(ROWS, CLASSES)


class TestSuite(FrameworkSuite):
    @pytest.fixture
    def framework(self) -> Lightgbm:
        return FRAMEWORK

    @pytest.fixture
    def examples(self, booster, classifier) -> list[Example]:
        chances = classifier.predict_proba(ROWS)
        return [
            Example(booster, lambda back: back.predict(ROWS).tobytes() == booster.predict(ROWS).tobytes()),
            Example(classifier, lambda back: (back.predict(ROWS) == chances[:, 1]).all(), "txt"),
            Example(classifier, lambda back: (back.predict_proba(ROWS) == chances).all(), "skops"),
        ]


def test_wrapper_says_what_it_becomes(classifier, tmp_path: Path) -> None:
    saved, back = there_and_back(classifier, tmp_path)
    assert names(saved) == ["model_v1.txt"]
    assert "LGBMClassifier" in saved.note
    assert isinstance(back, lightgbm.Booster)


def test_whole_wrapper_asks_for_trust(classifier, tmp_path: Path) -> None:
    save(classifier, tmp_path, "m", "skops")
    with pytest.raises(Untrusted, match="LGBMClassifier"):
        load(tmp_path, ["m.skops"])


def test_booster_has_no_skops(booster, tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as refusal:
        save(booster, tmp_path, "m", "skops")
    assert refusal.value.hint == "format= takes txt"


def test_model_that_was_never_trained_is_one_plain_error(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="not trained"):
        save(lightgbm.LGBMClassifier(), tmp_path, "m")


def test_broken_file_is_one_plain_error(tmp_path: Path) -> None:
    (tmp_path / "m.txt").write_bytes(b"tree\nversion=v4\nnonsense")
    with pytest.raises(Unsupported, match=r"m\.txt"):
        load(tmp_path, ["m.txt"])


def test_missing_package_names_the_extra(booster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(booster, tmp_path, "m")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(MissingExtra) as refusal:
        load(tmp_path, ["m.txt"])
    assert refusal.value.hint == "pip install 'lepton-ai[lightgbm]'"
