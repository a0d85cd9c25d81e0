"""ONNX models as onnx, skl2onnx and hostile strangers write them."""

from __future__ import annotations

import random
import warnings
from typing import TYPE_CHECKING, Any

import ml_dtypes
import numpy as np
import onnx
import pytest

from lepton_ai.formats import protobuf
from lepton_ai.formats.contract import BytesSource, Extent, Layout, Malformed
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.onnx import FORMAT
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.frameworks

RNG = np.random.default_rng(7)


def graph(nodes: list[Any], initializers: list[Any], name: str = "main") -> Any:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, name, [value], [result], initializers)


def model(nodes: list[Any], initializers: list[Any], **parts: Any) -> Any:
    from onnx import helper

    return helper.make_model(graph(nodes, initializers), producer_name="test", **parts)


def identity() -> Any:
    from onnx import helper

    return helper.make_node("Identity", ["x"], ["y"], name="same")


def perceptron() -> tuple[Any, dict[str, Array]]:
    from onnx import helper, numpy_helper

    weights = {
        "fc1.weight": RNG.normal(size=(4, 33)).astype(np.float32),
        "fc1.bias": RNG.normal(size=33).astype(np.float32),
        "scalar": np.array(3, dtype=np.int64),
        "empty": np.zeros((0, 5), dtype=np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "fc1.weight"], ["h"]),
        helper.make_node("Add", ["h", "fc1.bias"], ["y"]),
    ]
    return model(nodes, [numpy_helper.from_array(a, n) for n, a in weights.items()]), weights


def every_type() -> tuple[Any, dict[str, Array]]:
    """Each element type, in raw_data and in the typed field that is its own."""
    from onnx import TensorProto, helper, numpy_helper

    tensors, expected = [], {}
    for name, kind in TensorProto.DataType.items():
        if name in {"UNDEFINED", "STRING"}:
            continue
        values = np.array([0, 1, 1, 0, 1, 1, 0]) * (-1 if name.startswith("INT") else 1)
        for shape in ([7], [7, 1], [1, 1, 3]):
            label = f"{name}{len(shape)}"
            typed = helper.make_tensor(f"typed.{label}", kind, shape, values[: np.prod(shape)])
            array = numpy_helper.to_array(typed)
            raw = numpy_helper.from_array(array, f"raw.{label}")
            assert raw.raw_data
            assert not typed.raw_data
            tensors += [typed, raw]
            expected[typed.name] = expected[raw.name] = array
    ints = np.array([-1, 2**31 - 1, -(2**31), 300], dtype=np.int32)
    tensors.append(helper.make_tensor("extremes32", TensorProto.INT32, [2, 2], ints))
    expected["extremes32"] = ints.reshape(2, 2)
    longs = np.array([-1, 2**63 - 1, -(2**63)], dtype=np.int64)
    tensors.append(helper.make_tensor("extremes64", TensorProto.INT64, [3], longs))
    expected["extremes64"] = longs
    tensors.append(helper.make_tensor("words", TensorProto.STRING, [2], [b"left", b"opaque"]))
    return model([identity()], tensors), expected


def nested() -> tuple[Any, dict[str, Array]]:
    """Tensors in constants, sub-graphs within sub-graphs, functions, training graphs, and one sparse."""
    from onnx import AttributeProto, TensorProto, helper, numpy_helper

    arrays = {
        name: RNG.normal(size=(5, n + 1)).astype(np.float32)
        for n, name in enumerate(
            ["constant_out", "If_0/then_branch/w", "If_0/else_branch/deep/body/w", "fill/value",
             "functions/local.scale/factor", "training/0/initialization/w", "training/0/algorithm/step"]
        )
    }  # fmt: skip

    def tensor(name: str, called: str = "") -> Any:
        return numpy_helper.from_array(arrays[name], called)

    deep = graph([identity()], [tensor("If_0/else_branch/deep/body/w", "w")])
    outer = graph([helper.make_node("Loop", ["x"], ["y"], name="deep", body=deep)], [])
    then = graph([identity()], [tensor("If_0/then_branch/w", "w")])
    steps = np.arange(9, dtype=np.int64)
    nodes = [
        helper.make_node("Constant", [], ["constant_out"], value=tensor("constant_out")),
        helper.make_node("Constant", [], ["steps"], value_ints=steps.tolist()),
        helper.make_node("ConstantOfShape", ["x"], ["filled"], name="fill", value=tensor("fill/value")),
        helper.make_node("If", ["x"], ["y"], name="If_0", then_branch=then, else_branch=outer),
    ]
    arrays["steps"] = steps
    sparse = helper.make_sparse_tensor(
        helper.make_tensor("sparse_values", TensorProto.FLOAT, [2], [1.0, 2.0]),
        helper.make_tensor("sparse_places", TensorProto.INT64, [2], [3, 9]),
        [20],
    )
    nodes.append(helper.make_node("Constant", [], ["thin"], sparse_value=sparse))
    factor = helper.make_node("Constant", [], ["factor"], value=tensor("functions/local.scale/factor"))
    function = helper.make_function(
        "local", "scale", ["a"], ["b"], [factor, helper.make_node("Mul", ["a", "factor"], ["b"])],
        [helper.make_opsetid("", 21)],
    )  # fmt: skip
    result = model(nodes, [], functions=[function])
    training = helper.make_training_info(
        graph([identity()], [tensor("training/0/algorithm/step", "step")], "a"),
        [],
        graph([identity()], [tensor("training/0/initialization/w", "w")], "i"),
        None,
    )
    result.training_info.append(training)
    assert result.graph.node[3].attribute[0].type == AttributeProto.GRAPH
    return result, arrays


def trees() -> tuple[Any, dict[str, Array]]:
    """A random forest: skl2onnx keeps it in the attributes of one node."""
    from skl2onnx import to_onnx
    from sklearn.ensemble import RandomForestClassifier

    x = RNG.normal(size=(80, 4)).astype(np.float32)
    forest = RandomForestClassifier(3, max_depth=4, random_state=0).fit(x, x[:, 0] > 0)
    result = to_onnx(forest, x[:1], options={"zipmap": False})
    expected = {}
    node = next(n for n in result.graph.node if n.op_type == "TreeEnsembleClassifier")
    for attribute in node.attribute:
        if len(attribute.floats):
            expected[f"{node.name}/{attribute.name}"] = np.array(attribute.floats, dtype=np.float32)
        elif len(attribute.ints):
            expected[f"{node.name}/{attribute.name}"] = np.array(attribute.ints, dtype=np.int64)
    assert any(name.endswith("nodes_values") for name in expected)
    return result, expected


def neural_sklearn() -> tuple[Any, dict[str, Array]]:
    from onnx import numpy_helper
    from skl2onnx import to_onnx
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    x = RNG.normal(size=(80, 4)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # three steps are enough for a file
        network = MLPClassifier((8,), max_iter=3, random_state=0).fit(x, x[:, 0] > 0)
    result = to_onnx(network, x[:1])
    return result, {i.name: numpy_helper.to_array(i) for i in result.graph.initializer if i.data_type != 8}


def external(folder: Path, **options: Any) -> Sample:
    from onnx import numpy_helper

    weights = {f"w{n}": RNG.normal(size=(20, 10 + n)).astype(ml_dtypes.bfloat16) for n in range(5)}
    weights["tiny"] = np.ones(2, dtype=np.float32)
    made = model([identity()], [numpy_helper.from_array(a, n) for n, a in weights.items()])
    folder.mkdir()
    options = {"size_threshold": 100, "save_as_external_data": True, **options}
    onnx.save_model(made, folder / "model.onnx", **options)
    return Sample.of(folder, weights, "model.onnx")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    folder = tmp_path_factory.mktemp("onnx")
    result = []
    for make in (perceptron, every_type, nested, trees, neural_sklearn):
        made, expected = make()
        result.append(
            Sample({f"{make.__name__}.onnx": made.SerializeToString()}, f"{make.__name__}.onnx", expected)
        )
    result.append(external(folder / "one", all_tensors_to_one_file=True, location="weights.bin"))
    result.append(external(folder / "many", all_tensors_to_one_file=False))
    return result


def lay(data: bytes, **others: bytes) -> Layout:
    folder = {"m.onnx": data, **{name.replace("__", "."): other for name, other in others.items()}}
    sources = {path: BytesSource(content) for path, content in folder.items()}
    return FORMAT.layout("m.onnx", sources["m.onnx"], sources)


class TestOnnx(FormatSuite, MergeSuite):
    @pytest.fixture
    def reader(self) -> Any:
        return FORMAT

    @pytest.fixture
    def samples(self, written: list[Sample]) -> list[Sample]:
        return written

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """The initialisers that onnx loads, external data with them."""
        from onnx import numpy_helper

        proto = onnx.load(folder / main)
        kept = [tensor for tensor in proto.graph.initializer if tensor.data_type != onnx.TensorProto.STRING]
        return {t.name: numpy_helper.to_array(t, str((folder / main).parent)) for t in kept}


def test_large_tensors_become_segments_of_their_type() -> None:
    made, _ = perceptron()
    layout = lay(made.SerializeToString())
    (weight,) = [s for s in layout.segments if s.tensor == "fc1.weight"]
    assert (weight.length, weight.dtype) == (4 * 33 * 4, "float32")


def test_strings_sparse_and_scattered_tensors_stay_opaque() -> None:
    made, expected = nested()
    layout = lay(made.SerializeToString())
    assert {t.name for t in layout.tensors} == set(expected)


def test_two_models_share_one_file_of_weights(tmp_path: Path) -> None:
    sample = external(tmp_path / "m", all_tensors_to_one_file=True, location="weights.bin")
    files = {f"nets/{name}": data for name, data in sample.files.items()}
    files["nets/second.onnx"] = files["nets/model.onnx"]
    sources = {path: BytesSource(data) for path, data in files.items()}
    found = layouts(sources, [FORMAT])
    assert found["nets/weights.bin"].format == "tensor data"
    assert found["nets/model.onnx"].companions.keys() == {"weights.bin"}
    for path in ("nets/model.onnx", "nets/second.onnx"):
        arrays = dict(read_tensors(sources, path, found[path]))
        assert arrays["w3"].tobytes() == sample.tensors["w3"].tobytes()


def with_external(**entries: str) -> bytes:
    from onnx import TensorProto, helper

    tensor = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    tensor.ClearField("float_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in entries.items():
        tensor.external_data.add(key=key, value=value)
    data: bytes = model([identity()], [tensor]).SerializeToString()
    return data


def test_external_data_without_a_length_go_to_the_end() -> None:
    layout = lay(with_external(location="./d.bin", offset="4"), d__bin=bytes(20))
    assert layout.tensors[0].extents == (Extent(4, 16, "d.bin"),)
    with pytest.raises(Malformed, match="outside"):
        lay(with_external(location="d.bin", offset="8"), d__bin=bytes(20))


def test_tied_weights_share_their_bytes() -> None:
    from onnx import TensorProto

    made = onnx.load_from_string(with_external(location="d.bin", length="16"))
    twin = TensorProto()
    twin.CopyFrom(made.graph.initializer[0])
    twin.name = "twin"
    made.graph.initializer.append(twin)
    layout = lay(made.SerializeToString(), d__bin=bytes(16))
    assert [t.name for t in layout.tensors] == ["w", "twin"]
    assert layout.tensors[0].extents == layout.tensors[1].extents
    assert len(layout.companions["d.bin"]) == 1
    twin.external_data.add(key="offset", value="8")
    twin.ClearField("external_data")
    for key, value in {"location": "d.bin", "offset": "8", "length": "16"}.items():
        twin.external_data.add(key=key, value=value)
    made.graph.initializer[1].CopyFrom(twin)
    with pytest.raises(Malformed, match="overlap"):
        lay(made.SerializeToString(), d__bin=bytes(24))


@pytest.mark.parametrize(
    "entries",
    [
        {"location": "../d.bin"}, {"location": "/etc/passwd"}, {"location": "sub/../../d.bin"},
        {"location": ""}, {"location": "m.onnx"}, {"location": "."}, {},
        {"location": "d.bin", "offset": "-1"},
        {"location": "d.bin", "length": "17"}, {"location": "d.bin", "length": "99999999999999999999999"},
        {"location": "d.bin", "offset": "1e1"}, {"location": "d.bin", "offset": "18446744073709551615"},
        {"location": "d.bin", "length": "8"}, {"location": "missing.bin"}, {"location": "d.bin\0"},
    ],
)  # fmt: skip
def test_external_data_elsewhere_or_beyond_are_refused(entries: dict[str, str]) -> None:
    assert lay(with_external(location="d.bin"), d__bin=bytes(16)).tensors
    with pytest.raises(Malformed):
        lay(with_external(**entries), d__bin=bytes(16))


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def message(number: int, content: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(content)) + content


def test_a_bomb_of_nested_graphs_is_refused() -> None:
    body = b""
    for _ in range(3000):
        body = message(1, message(5, message(6, body)))
    with pytest.raises(Malformed, match="within each other"):
        lay(message(7, body))


def test_names_that_repeat_their_parents_do_not_fill_the_memory() -> None:
    tensors = message(5, message(8, b"") + b"\x08\x01\x10\x01" + message(9, bytes(4))) * 20000
    body = tensors
    for _ in range(20):
        body = message(1, message(3, b"n" * 4000) + message(5, message(1, b"g") + message(6, body)))
    with pytest.raises(Malformed):
        lay(message(7, body))


def test_the_same_name_twice_gets_a_number() -> None:
    tensor = message(5, message(8, b"w") + b"\x08\x01\x10\x01" + message(9, bytes(4)))
    layout = lay(message(7, tensor * 3))
    assert [t.name for t in layout.tensors] == ["w", "w~2", "w~3"]


def tensor_message(*fields: bytes) -> bytes:
    return message(7, message(5, b"".join(fields)))


@pytest.mark.parametrize(
    "fields",
    [
        (b"\x08\x05\x10\x01", message(9, bytes(16))),  # five floats in 16 bytes
        (b"\x08" + varint(2**64 - 1) + b"\x10\x01", message(9, bytes(4))),  # minus one element
        (b"\x08" + varint(2**62) + b"\x08\x00\x10\x01", message(9, b"")),  # nothing, very wide
        (b"\x08\x02\x10\x01", message(5, b"\x01\x01")),  # floats as varints
        (b"\x08\x02\x10\x07", message(7, b"\x01")),  # two numbers in one byte
        (b"\x08\x00" * 65 + b"\x10\x01", message(9, b"")),  # 65 dimensions
        (b"\x08\x02\x10\x01" + (b"\x25" + bytes(4)) * 3,),  # two floats, three written
        (b"\x08\x01\x10\x01" + b"\x20\x01",),  # a float as a varint
        (message(8, b"\xff\xfe") + b"\x10\x01",),  # a name that is no text
        (message(8, b"a" * 5000) + b"\x10\x01",),
        (message(8, b"a\x00b") + b"\x10\x01",),
        (b"\x0b",),  # a group
        (b"\x4a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",),  # raw_data of 2**63 bytes
        (b"\x08" + b"\xff" * 10 + b"\x01",),  # a varint without end
    ],
)
def test_lies_about_tensors_are_refused(fields: tuple[bytes, ...]) -> None:
    assert lay(tensor_message(b"\x08\x04\x10\x01", message(9, bytes(16)))).tensors
    with pytest.raises(Malformed):
        lay(tensor_message(*fields))


def test_numbers_with_a_tag_each_are_understood() -> None:
    floats = b"".join(b"\x25" + np.float32(n).tobytes() for n in range(300))
    doubles = b"".join(b"\x51" + np.float64(n).tobytes() for n in range(3))
    ints = b"".join(b"\x28" + varint((n - 40) % 2**64) for n in range(9000))
    data = message(7, b"".join(
        message(5, message(8, name) + b"".join(b"\x08" + varint(n) for n in shape) + b"\x10%c" % kind + body)
        for name, shape, kind, body in (
            (b"f", (3, 100), 1, floats), (b"d", (3,), 11, doubles), (b"i", (9000,), 6, ints),
        )
    ))  # fmt: skip
    layout = lay(data)
    found = dict(read_tensors({"m.onnx": BytesSource(data)}, "m.onnx", layout))
    assert (found["f"] == np.arange(300, dtype=np.float32).reshape(3, 100)).all()
    assert found["d"].tolist() == [0.0, 1.0, 2.0]
    assert (found["i"] == np.arange(9000, dtype=np.int32) - 40).all()


def test_elements_in_two_places_or_long_tags_stay_opaque() -> None:
    shape = b"\x08\x02\x10"
    for fields in (
        shape + b"\x01" + message(9, bytes(8)) + message(9, bytes(8)),
        shape + b"\x01" + message(4, bytes(4)) + message(4, bytes(4)),
        shape + b"\x0e" + b"\x25" + bytes(4) + b"\x25" + bytes(4),  # complex numbers with a tag for each half
        shape + b"\x01" + b"\xa5\0" + bytes(4) + b"\xa5\0" + bytes(4),
        shape + b"\x01" + message(9, bytes(8)) + message(3, b""),  # a chunk of a larger tensor
        shape + b"\x01",
    ):
        layout = lay(tensor_message(fields))
        assert not layout.tensors
        assert [s.tensor for s in layout.segments] == [None]
    too_long = b"\x08\x02\x10\x0e" + message(4, bytes(12))
    with pytest.raises(Malformed, match="do not make"):
        lay(tensor_message(too_long))


def test_packed_attribute_lists_are_understood() -> None:
    attribute = message(5, message(1, b"coefficients") + message(7, np.arange(3, dtype=np.float32).tobytes()))
    node = message(1, message(3, b"linear") + attribute + message(7, b"ai.onnx.ml"))
    data = message(7, node)
    found = dict(read_tensors({"m.onnx": BytesSource(data)}, "m.onnx", lay(data)))
    assert found["linear/coefficients"].tolist() == [0.0, 1.0, 2.0]


def test_more_fields_than_anybody_writes_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protobuf, "MOST_FIELDS", 100)
    with pytest.raises(Malformed, match="more than 100"):
        lay(b"\x08\x09" * 101)


def test_tensors_without_a_name_get_one() -> None:
    layout = lay(tensor_message(b"\x08\x01\x10\x01", message(9, bytes(4))))
    assert [t.name for t in layout.tensors] == ["unnamed"]


def test_swarms_of_attributes_are_refused() -> None:
    with pytest.raises(Malformed, match="attributes"):
        lay(message(7, message(1, message(5, b"") * 10_001)))
    with pytest.raises(Malformed, match="parts"):
        lay(message(7, message(1, message(5, message(10, b"") * 10_001))))


def test_what_is_not_a_model_is_not_claimed_or_refused() -> None:
    assert not FORMAT.claims("m.onnx", b"version https://git-lfs.github.com/spec/v1\n")
    assert not FORMAT.claims("m.onnx", b"")
    assert not FORMAT.claims("m.pb", b"\x08\x09")
    assert FORMAT.claims("A/M.ONNX", b"\x08\x09")
    for data in (b"", b"\x08\x09", message(7, b"") * 2):
        with pytest.raises(Malformed, match="graphs"):
            lay(data)


def test_a_large_model_is_read_in_small_pieces() -> None:
    class Sparse(BytesSource):
        calls = read_bytes = 0

        def read(self, offset: int, length: int) -> bytes:
            self.calls, self.read_bytes = self.calls + 1, self.read_bytes + length
            return super().read(offset, length)

    tensors = b"".join(
        message(
            5, message(8, b"w%d" % n) + b"\x08" + varint(500_000) + b"\x10\x01" + message(9, bytes(2_000_000))
        )
        for n in range(20)
    )
    source = Sparse(message(7, tensors))
    assert len(FORMAT.layout("m.onnx", source, {"m.onnx": source}).tensors) == 20
    assert source.read_bytes < 300_000
    assert source.calls < 60


def test_random_bytes_are_refused() -> None:
    rng = random.Random(3)
    for _ in range(300):
        with pytest.raises(Malformed):
            lay(b"\x08" + rng.randbytes(rng.randrange(400)))
