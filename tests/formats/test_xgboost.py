"""XGBoost's models, binary and text, against what XGBoost itself says of them."""

from __future__ import annotations

import json
import random
import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xgboost

from lepton_ai.formats import json_arrays, ubjson
from lepton_ai.formats.contract import BytesSource, Malformed, Tensor, check_partition
from lepton_ai.formats.xgboost import FORMAT, TYPES
from lepton_ai.testing.formats import Array, FormatSuite, Sample
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(2)
X = RNG.normal(size=(400, 5)).astype(np.float32)
X[:, 1] = RNG.integers(0, 9, 400)
Y = (X[:, 0] + X[:, 2] * X[:, 3] > 0).astype(int)
KINDS = ["q", "c", "q", "q", "q"]


def boosters() -> dict[str, xgboost.Booster]:
    plain = xgboost.DMatrix(X, Y, feature_names=[f"f{n} é.x" for n in range(5)])
    mixed = xgboost.DMatrix(X, Y, feature_types=KINDS, enable_categorical=True)
    return {
        "trees": xgboost.train({"max_depth": 3, "objective": "binary:logistic"}, plain, 3),
        "categories": xgboost.train({"max_depth": 4, "max_cat_to_onehot": 2}, mixed, 3),
        "dart": xgboost.train({"booster": "dart", "max_depth": 2}, plain, 2),
        "linear": xgboost.train({"booster": "gblinear", "updater": "coord_descent"}, plain, 2),
        "vector": xgboost.train(
            {"multi_strategy": "multi_output_tree", "tree_method": "hist", "max_depth": 2},
            xgboost.DMatrix(X, np.stack([Y, 1 - Y], axis=1)), 2,
        ),
    }  # fmt: skip


def arrays(value: Any, path: str = "") -> dict[str, Array]:
    """Every list of numbers under a JSON value, in the type that its key stands for."""
    found: dict[str, Array] = {}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        place = f"{path}.{key}" if path else str(key)
        if isinstance(item, list) and item and all(type(x) in {int, float} for x in item):
            found[place] = np.array(item, dtype=TYPES[str(key)])
        else:
            found |= arrays(item, place)
    return found


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder: Path = tmp_path_factory.mktemp("xgboost")
    result = {}
    for name, booster in boosters().items():
        expected = arrays(json.loads(booster.save_raw("json"))["learner"], "learner")
        assert expected
        untyped = ("tree_info", "iteration_indptr", "weight_drop")  # in UBJSON: number by number
        typed = {k: v for k, v in expected.items() if not k.endswith(untyped)}
        for suffix, tensors in (("ubj", typed), ("json", expected)):
            booster.save_model(folder / f"{name}.{suffix}")
            result[f"{name}.{suffix}"] = Sample.of(folder / f"{name}.{suffix}", tensors)
    return result


class TestXGBoost(FormatSuite, MergeSuite):
    own_segments = False
    fixed_mutations = 100

    @pytest.fixture
    def reader(self) -> Any:
        return FORMAT

    @pytest.fixture
    def samples(self, written: dict[str, Sample]) -> list[Sample]:
        return list(written.values())

    def may_change(self, tensor: Tensor) -> bool:
        """Numbers, not the shape of trees."""
        return tensor.dtype == "float32" and not tensor.name.endswith("weight_drop")

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What XGBoost says of the model that it loads."""
        booster = xgboost.Booster(model_file=folder / main)
        return arrays(json.loads(booster.save_raw("json"))["learner"], "learner")


def test_large_binary_arrays_have_segments_of_their_own(tmp_path: Path) -> None:
    rows = xgboost.DMatrix(RNG.normal(size=(20_000, 5)), RNG.normal(size=20_000))
    booster = xgboost.train({"max_depth": 13, "min_child_weight": 0}, rows, 1)
    data = bytes(booster.save_raw("ubj"))
    layout = FORMAT.layout("m.ubj", BytesSource(data), {})
    check_partition(layout.segments, len(data))
    named = {s.tensor: s for s in layout.segments if s.tensor}
    assert named.keys() == {t.name for t in layout.tensors if t.nbytes >= 8192}
    assert named["learner.gradient_booster.model.trees.0.split_conditions"].dtype == "float32"
    assert "learner.gradient_booster.model.trees.0.default_left" not in named


def test_types_in_json_are_those_of_ubjson(written: dict[str, Sample]) -> None:
    for name in ("categories", "vector", "dart"):
        binary, text = (
            {
                t.name: (t.dtype, t.shape)
                for t in FORMAT.layout(s.main, BytesSource(s.files[s.main]), {}).tensors
            }
            for s in (written[f"{name}.ubj"], written[f"{name}.json"])
        )
        assert binary
        assert binary.items() <= text.items()


def test_other_json_and_ubjson_are_not_claimed() -> None:
    assert not FORMAT.claims("config.json", b'{"architectures": ["learner"]}')
    assert not FORMAT.claims("m.ubj", b"{i\x04name")
    assert FORMAT.claims("m.bin", b"{L\0\0\0\0\0\0\0\x07learner{")
    assert FORMAT.claims("m.JSON", b' {\n "learner" : {')
    for data in (b'{"learner":{}}', b"{i\x07learner{}}", b'{"learner":{"gradient_booster":{}}}'):
        with pytest.raises(Malformed, match="no gradient booster"):
            FORMAT.layout("m.json", BytesSource(data), {})


def binary(data: bytes) -> list[ubjson.Array]:
    return list(ubjson.Reader(BytesSource(data)).arrays())


def key(name: bytes) -> bytes:
    return b"U%c" % len(name) + name


def test_ubjson_of_every_kind_is_walked() -> None:
    values = b"".join(
        key(b"k%d" % n) + value
        for n, value in enumerate(
            (b"Z", b"T", b"F", b"i\xff", b"U\xff", b"I\0\1", b"l" + bytes(4), b"L" + bytes(8), b"d" + bytes(4),
             b"D" + bytes(8), b"Cx", b"SU\3abc", b"[]", b"[#U\0", b"{}", b"{#i\1" + key(b"x") + b"Z",
             b"[[$I#U\2" + bytes(4) + b"{" + key(b"y") + b"[$d#l\0\0\0\1" + bytes(4) + b"}]")
        )
    )  # fmt: skip
    found = binary(b"{" + values + b"}")
    assert [(a.path, a.dtype, a.elements) for a in found] == [
        (("k16", "0"), "int16", 2), (("k16", "1", "y"), "float32", 1),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"{}}", b"]", b"N", b"H", b"[$Z#U\5", b"[$S#U\1", b"[$d#U\5" + bytes(19), b"[$d",
        b"[$d#d" + bytes(4),
        b"[$d#i\xff", b"[$D#L\x7f" + b"\xff" * 7, b"[#L\x7f" + b"\xff" * 7 + b"Z" * 50, b"{#L\x7f" + b"\xff" * 7,
        b"{$i#U\1", b"[" * 100_000, (b"{" + key(b"a")) * 100_000, b"SL\x7f" + b"\xff" * 7, b"{U\1\xffZ}",
        b"{I\x04\x01" + b"a" * 1025 + b"Z}", b"{SU\1aZ}",
    ],
)  # fmt: skip
def test_ubjson_that_lies_is_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        binary(data)


def test_small_arrays_of_long_names_do_not_fill_the_memory() -> None:
    inner = b"".join(key(b"x") + b"[$U#U\0" for _ in range(50_000))
    for _ in range(15):
        inner = b"I\x03\xff" + b"n" * 1023 + b"{" + inner + b"}"
    with pytest.raises(Malformed):
        FORMAT.layout("m.ubj", BytesSource(b"{U\x07learner{" + inner + b"}}"), {})


def text(data: str | bytes) -> list[tuple[tuple[str, ...], int]]:
    data = data.encode() if isinstance(data, str) else data
    return [(a.path, a.elements) for a in json_arrays.Reader(BytesSource(data)).arrays()]


def test_json_of_every_kind_is_walked() -> None:
    value = {
        "a": [1, 2, 3], "b": [], "c": [[1.5, -2e-9], ["x", "]"], [1, "x"], [1, None]], "d": {"é\"\\\n": [7]},
        "e": "[1,2]", "f": [True], "g": [{}, [], {"h": [0]}], "i": float("nan"), "j": [float("-inf"), 1.0],
    }  # fmt: skip
    found = [
        (("a",), 3), (("b",), 0), (("c", "0"), 2), (("d", 'é"\\\n'), 1), (("g", "1"), 0), (("g", "2", "h"), 1),
        (("j",), 2),
    ]  # fmt: skip
    for dump in (
        json.dumps(value),
        json.dumps(value, indent=2),
        json.dumps(value, ensure_ascii=False) + "\n\t ",
    ):
        assert text(dump) == found
    assert text("[1]") == [((), 1)]


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 50])
def test_json_reads_the_same_in_pieces_of_any_length(
    piece: int, monkeypatch: pytest.MonkeyPatch, written: dict[str, Sample]
) -> None:
    data = written["categories.json"].files["categories.json"][:20_000]
    complete = data[: data.rindex(b',"tree_param"')] + b"}]}}}}"
    whole = list(json_arrays.Reader(BytesSource(complete)).arrays())
    assert whole
    monkeypatch.setattr(json_arrays, "PIECE", piece)
    assert list(json_arrays.Reader(BytesSource(complete)).arrays()) == whole


def refused_by_python(data: str) -> bool:
    try:
        json.loads(data)
    except ValueError:
        return True
    return False


def refused_here(data: str) -> bool:
    try:
        text(data)
    except Malformed:
        return True
    return False


def test_json_is_judged_as_python_judges_it() -> None:
    """A list of things that look like numbers is not looked into; all else is refused when Python refuses it."""
    rng = random.Random(1)
    sample = '{"learner":{"a":[1,2.5],"b":["x",{"c":-1e3}],"d":null,"e":[[],[true,false]]},"v":[3]}'
    kept = 0
    for _ in range(5000):
        letters = list(sample)
        for _ in range(rng.choice((1, 2))):
            letters[rng.randrange(len(letters))] = rng.choice('{}[],:"1e-. aé\n')
        data = "".join(letters)
        if not refused_by_python(data):
            assert not refused_here(data), data
            kept += 1
        elif refused_by_python(re.sub(r"\[[-+0-9.eENaInfity,\s]+\]", "[1]", data)):
            assert refused_here(data), data
    assert kept > 100


@pytest.mark.parametrize(
    "data",
    [
        "", " ", "{", "[", '{"a"', '{"a":', '{"a":1', '{"a":1,', '{"a":1,}', '[[],]', "[1,2", '["a",]', "{}{}", "{} x",
        "tru",
        '{"a":01x}', "{1:2}", "[}", "{]", '"\n"', '"', '{"a" 1}', '["a" "b"]', "[" * 100_000, '{"a":' * 100_000,
        '{"\\x":1}', '{"%s":1}' % ("k" * 2000), b'{"\xff":1}', b'["\x00"]',
    ],
)  # fmt: skip
def test_json_that_is_none_is_refused(data: str | bytes) -> None:
    with pytest.raises(Malformed):
        text(data)


def test_many_values_are_given_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_arrays, "MOST_TOKENS", 1000)
    monkeypatch.setattr(ubjson, "MOST_ITEMS", 1000)
    with pytest.raises(Malformed, match="values"):
        text("[{}" + ",{}" * 1001 + "]")
    with pytest.raises(Malformed, match="values"):
        binary(b"[" + b"Z" * 1001 + b"]")


def test_extents_are_the_text_between_the_brackets() -> None:
    data = b'{"learner":{"gradient_booster":{"model":{"weights":[1.5E0, 2]}}}}'
    (tensor,) = FORMAT.layout("m.json", BytesSource(data), {}).tensors
    (extent,) = tensor.extents
    assert data[extent.offset : extent.offset + extent.length] == b"1.5E0, 2"
    assert (tensor.dtype, tensor.shape, tensor.encoding) == ("float32", (2,), "text")
