from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from lepton_ai.errors import MissingExtra, Unsupported
from lepton_ai.formats.frameworks import load, save
from lepton_ai.formats.frameworks.xgboost import FRAMEWORK, Xgboost
from lepton_ai.testing.frameworks import Example, FrameworkSuite, names, there_and_back

xgboost = pytest.importorskip("xgboost")
pytestmark = pytest.mark.frameworks
RNG = np.random.default_rng(1)
ROWS = RNG.normal(size=(80, 6))
CLASSES = (ROWS[:, 0] * 3).astype(int) % 3


@pytest.fixture(scope="module")
def booster():
    return xgboost.train({"max_depth": 3}, xgboost.DMatrix(ROWS, ROWS[:, 1]), 5)


@pytest.fixture(scope="module")
def classifier():
    return xgboost.XGBClassifier(n_estimators=4, max_depth=3).fit(ROWS, CLASSES)


def predicted(booster: object) -> bytes:
    return booster.predict(xgboost.DMatrix(ROWS)).tobytes()


class TestSuite(FrameworkSuite):
    @pytest.fixture
    def framework(self) -> Xgboost:
        return FRAMEWORK

    @pytest.fixture
    def examples(self, booster, classifier) -> list[Example]:
        def same(back: object) -> bool:
            chances = back.predict_proba(ROWS).tobytes() == classifier.predict_proba(ROWS).tobytes()
            return chances and (back.predict(ROWS) == classifier.predict(ROWS)).all()

        return [
            *[
                Example(booster, lambda back: predicted(back) == predicted(booster), each)
                for each in (None, "json")
            ],
            *[Example(classifier, same, each) for each in (None, "json")],
        ]


def test_wrappers_come_back_as_what_they_were(booster, classifier, tmp_path: Path) -> None:
    regressor = xgboost.XGBRegressor(n_estimators=2).fit(ROWS, ROWS[:, 1])
    for number, model in enumerate((booster, classifier, regressor)):
        saved, back = there_and_back(model, tmp_path / str(number))
        assert names(saved) == ["model_v1.ubj"]
        assert type(back) is type(model)


def test_model_that_was_never_trained_is_one_plain_error(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match="XGBClassifier"):
        save(xgboost.XGBClassifier(), tmp_path, "m")


def test_broken_file_is_one_plain_error(tmp_path: Path) -> None:
    (tmp_path / "m.ubj").write_bytes(b"{L\0\0")
    with pytest.raises(Unsupported, match=r"m\.ubj"):
        load(tmp_path, ["m.ubj"])


def test_missing_package_names_the_extra(booster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(booster, tmp_path, "m")
    monkeypatch.setitem(sys.modules, "xgboost", None)
    with pytest.raises(MissingExtra) as refusal:
        load(tmp_path, ["m.ubj"])
    assert refusal.value.hint == "pip install 'lepton-ai[xgboost]'"
