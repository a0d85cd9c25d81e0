"""scikit-learn's models as skops writes them, and as nobody should."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lepton_ai.formats.contract import BytesSource, Layout, Malformed, Tensor
from lepton_ai.formats.skops import FORMAT
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(13)
FEATURES = RNG.normal(size=(40, 3))
LABELS = (FEATURES[:, 0] > 0).astype(np.int64)


def pipeline() -> Any:
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(FEATURES, LABELS)


def dumped(model: Any, method: int = zipfile.ZIP_STORED) -> bytes:
    return skops.io.dumps(model, compression=method)


@pytest.fixture(scope="module")
def reader() -> Any:
    return FORMAT


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    model = pipeline()
    scaler, regression = model[0], model[1]
    expected = {
        "steps.0.1.mean_": scaler.mean_,
        "steps.0.1.scale_": scaler.scale_,
        "steps.1.1.coef_": regression.coef_,
        "steps.1.1.intercept_": regression.intercept_,
        "steps.1.1.classes_": regression.classes_,
    }
    forest = RandomForestClassifier(3, random_state=0).fit(FEATURES, LABELS)
    trees = {f"estimators_.{n}.tree_.values": tree.tree_.value for n, tree in enumerate(forest.estimators_)}
    means = KMeans(2, n_init=1, random_state=0).fit(FEATURES)
    return [
        Sample({"model.skops": dumped(model)}, "model.skops", expected),
        Sample({"packed.skops": dumped(model, zipfile.ZIP_DEFLATED)}, "packed.skops", expected),
        Sample({"forest.skops": dumped(forest)}, "forest.skops", {"classes_": forest.classes_, **trees}),
        Sample({"means.skops": dumped(means)}, "means.skops", {"cluster_centers_": means.cluster_centers_}),
        Sample({"none.skops": dumped({"a": 1})}, "none.skops"),
    ]


class TestSkops(FormatSuite, MergeSuite):
    """The promises of a reader."""

    def may_change(self, tensor: Tensor) -> bool:
        """Weights; a forest checks its nodes, and other arrays say what there are how many of."""
        return tensor.dtype == "float64" and not tensor.name.startswith(("estimators_", "steps.0"))

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What is in the object that skops makes of it, told by writing that again."""
        types = skops.io.get_untrusted_types(data=files[main])
        data = skops.io.dumps(skops.io.loads(files[main], trusted=types))
        return dict(read_tensors({"m": BytesSource(data)}, "m", read(data)))


def read(data: bytes) -> Layout:
    source = BytesSource(data)
    return FORMAT.layout("m.skops", source, {"m.skops": source})


def test_names_are_the_same_at_every_save() -> None:
    """The members' own names are not; without this no two versions could be compared."""
    model = pipeline()
    first, second = read(dumped(model)), read(dumped(skops.io.loads(dumped(model))))
    assert [tensor.name for tensor in first.tensors] == [tensor.name for tensor in second.tensors]


def test_one_array_in_two_places_is_one_segment() -> None:
    shared = np.arange(4.0)
    layout = read(dumped({"a": shared, "b": [shared]}))
    assert [(tensor.name, tensor.extents) for tensor in layout.tensors] == [
        ("a", layout.tensors[0].extents),
        ("b.0", layout.tensors[0].extents),
    ]
    assert [segment.tensor for segment in layout.segments if segment.tensor] == ["a"]


def test_keys_that_look_like_the_schemas_are_kept() -> None:
    layout = read(dumped({"content": np.zeros(1), "file": np.zeros(2), "x": {"content": np.zeros(3)}}))
    assert {tensor.name: tensor.shape for tensor in layout.tensors} == {
        "content": (1,),
        "file": (2,),
        "x.content": (3,),
    }


def archive(schema: bytes, **members: bytes) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        file.writestr("schema.json", schema)
        for name, data in members.items():
            file.writestr(f"{name}.npy", data)
    return stream.getvalue()


def npy(array: np.ndarray[Any, Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def node(**fields: Any) -> dict[str, Any]:
    return {"__loader__": "Node", **fields}


def test_arrays_without_a_place_keep_their_members_name() -> None:
    schema = json.dumps(
        node(content={"a": node(file="1.npy"), "b": node(file="9.npy"), "c": node(file=7)})
    ).encode()
    layout = read(archive(schema, **{"1": npy(np.zeros(1)), "2": npy(np.zeros(2)), "3": b"\x93NUMPY"}))
    assert [tensor.name for tensor in layout.tensors] == ["a", "2.npy"]
    assert "3.npy stays opaque" in layout.note


def test_an_array_named_a_million_times_is_looked_at_once() -> None:
    schema = json.dumps([node(file="1.npy")] * 20_000).encode()
    layout = read(archive(schema, **{"1": npy(np.zeros(1))}))
    assert len(layout.tensors) == 20_000


HOSTILE = {
    "no archive": b"PK\3\4",
    "no schema": archive(b"{}").replace(b"schema.json", b"scheme.json"),
    "schema is no JSON": archive(b"{"),
    "schema is no text": archive(b"\xff\xfe"),
    "key twice": archive(b'{"a": 1, "a": 2}'),
    "deep": archive(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "long paths for many": archive(json.dumps({"k" * 4000: [[]] * 100_000}).encode()),
    "paths that grow": archive(
        b'{"' + b"k" * 3000 + b'":' + (b'{"' + b"k" * 3000 + b'":') * 800 + b"{}" + b"}" * 801
    ),
    "name of control characters": archive(
        json.dumps({"\n": node(file="1.npy")}).encode(), **{"1": npy(np.zeros(1))}
    ),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
def test_lies_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)
