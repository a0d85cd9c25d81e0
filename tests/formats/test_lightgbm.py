"""LightGBM's text models, against what LightGBM itself says of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import lightgbm
import numpy as np
import pytest

from lepton_ai.formats import lightgbm as reader_module
from lepton_ai.formats.contract import BytesSource, Layout, Malformed, Tensor
from lepton_ai.formats.lightgbm import FORMAT
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(4)
X = RNG.normal(size=(300, 4))
X[:, 1] = RNG.integers(0, 12, 300)
Y = X[:, 0] + np.where(X[:, 1] > 6, X[:, 2], -X[:, 2])
QUIET = {"verbose": -1, "num_leaves": 8, "num_threads": 1}


def boosters() -> dict[str, lightgbm.Booster]:
    def train(rounds: int, labels: Array = Y, categories: Any = "auto", **params: Any) -> lightgbm.Booster:
        data = lightgbm.Dataset(X, labels, categorical_feature=categories, params={"verbose": -1})
        return lightgbm.train({**QUIET, **params}, data, rounds)

    return {
        "regression": train(3),
        "classes": train(2, np.digitize(Y, [-1, 1]), objective="multiclass", num_class=3),
        "categories": train(3, categories=[1], min_data_per_group=2, cat_smooth=1.0, max_cat_to_onehot=1),
        "linear": train(3, linear_tree=True),
    }


def told(booster: lightgbm.Booster) -> dict[str, Array]:
    """The leaves and thresholds of every tree, by LightGBM's own account."""
    found: dict[str, Array] = {}
    for tree in booster.dump_model()["tree_info"]:
        number, leaves, splits = tree["tree_index"], {}, {}

        def walk(node: dict[str, Any], leaves: dict[int, Any], splits: dict[int, Any]) -> None:
            if "split_index" in node:
                splits[node["split_index"]] = node
                walk(node["left_child"], leaves, splits)
                walk(node["right_child"], leaves, splits)
            else:
                leaves[node.get("leaf_index", 0)] = node

        walk(tree["tree_structure"], leaves, splits)
        assert leaves
        assert splits
        for key, nodes, dtype in (("leaf_value", leaves, "float64"), ("leaf_count", leaves, "int32"),
                                  ("split_feature", splits, "int32"), ("internal_count", splits, "int32")):  # fmt: skip
            found[f"tree.{number}.{key}"] = np.array([nodes[n][key] for n in sorted(nodes)], dtype=dtype)
        if all(node["decision_type"] == "<=" for node in splits.values()):
            values = [splits[n]["threshold"] for n in sorted(splits)]
            found[f"tree.{number}.threshold"] = np.array(values, dtype=np.float64)
    return found


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder: Path = tmp_path_factory.mktemp("lightgbm")
    result = {}
    for name, booster in boosters().items():
        booster.save_model(folder / f"{name}.txt")
        result[name] = Sample.of(folder / f"{name}.txt", told(booster))
    return result


class TestLightGBM(FormatSuite, MergeSuite):
    own_segments = False

    @pytest.fixture
    def reader(self) -> Any:
        return FORMAT

    @pytest.fixture
    def samples(self, written: dict[str, Sample]) -> list[Sample]:
        return list(written.values())

    def may_change(self, tensor: Tensor) -> bool:
        """Numbers, not the shape of trees; a threshold may be a list of categories."""
        return tensor.dtype == "float64" and not tensor.name.endswith("threshold")

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What LightGBM says of the model that it loads."""
        return told(lightgbm.Booster(model_file=folder / main))


def lay(data: bytes) -> Layout:
    return FORMAT.layout("m.txt", BytesSource(data), {})


def test_lists_of_categories_and_of_linear_leaves_are_found(written: dict[str, Sample]) -> None:
    for name, keys in (
        ("categories", {"cat_boundaries", "cat_threshold"}),
        ("linear", {"leaf_coeff", "leaf_const"}),
    ):
        sample = written[name]
        source = BytesSource(sample.files[sample.main])
        found = dict(read_tensors({sample.main: source}, sample.main, lay(sample.files[sample.main])))
        for key in keys:
            assert any(place.endswith(f".{key}") and array.size for place, array in found.items()), key


def test_it_reads_the_same_in_pieces_of_any_length(
    monkeypatch: pytest.MonkeyPatch, written: dict[str, Sample]
) -> None:
    data = written["linear"].files["linear.txt"]
    whole = lay(data)
    for piece in (1, 17, 1000):
        monkeypatch.setattr(reader_module, "PIECE", piece)
        assert lay(data) == whole


def test_cut_and_endless_models_are_refused(
    monkeypatch: pytest.MonkeyPatch, written: dict[str, Sample]
) -> None:
    data = written["regression"].files["regression.txt"]
    assert lay(data).tensors
    with pytest.raises(Malformed, match="end of the trees"):
        lay(data[: data.index(b"end of trees")])
    with pytest.raises(Malformed, match="begin"):
        lay(b"tree\n")
    monkeypatch.setattr(reader_module, "LONGEST_LINE", 1000)
    with pytest.raises(Malformed, match="longer"):
        lay(b"tree\nversion=v4\nTree=0\nleaf_value=" + b"1 " * 200_000)
    monkeypatch.setattr(reader_module, "MOST_LINES", 1000)
    with pytest.raises(Malformed, match="longer"):
        lay(b"tree\nversion=v4\n" + b"\n" * 400_000)


def test_other_texts_are_not_claimed() -> None:
    assert not FORMAT.claims("a.txt", b"trees are green\n")
    assert FORMAT.claims("a", b"tree\nversion=v4\nnum_class=1\n")
