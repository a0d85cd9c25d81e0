"""PyTorch's files as torch writes them."""

from __future__ import annotations

import io
import struct
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from lepton_ai.formats.contract import BytesSource, Layout, Malformed
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.pt import FORMAT
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite
from tests.formats import torch_archives as made

pytestmark = pytest.mark.frameworks


def sample(name: str, data: bytes, tensors: made.Tensors) -> Sample:
    return Sample({name: data}, name, made.arrays(tensors))


def checkpoint() -> tuple[dict[str, Any], made.Tensors]:
    model = made.net().train()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    value = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "epoch": 3,
        7: [torch.ones(2), (torch.zeros(1),)],
    }
    expected = {f"model.{name}": tensor for name, tensor in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        expected |= {f"optimizer.state.{number}.{name}": tensor for name, tensor in state.items()}
    return value, expected | {"7.0": torch.ones(2), "7.1.0": torch.zeros(1)}


def big_endian(data: bytes) -> bytes:
    """The archive as a machine of the other byte order writes it."""
    content = made.members(data)
    swapped = {
        name: np.frombuffer(part, "<f4").byteswap().tobytes() if "/data/" in name else part
        for name, part in content.items()
    }
    return made.archive({**swapped, "archive/byteorder": b"big"})


def torch_2_7(model: made.Net) -> bytes:
    """What torch.export.save wrote until 2.7: archives within an archive without a root."""
    content = {
        "serialized_exported_program.json": b"{}",
        "serialized_state_dict.pt": made.saved(model.state_dict()),
    }
    content |= {"serialized_constants.pt": made.saved({"scratch": model.scratch}), "version": b"8.4"}
    return made.archive(content)


@pytest.fixture(scope="module")
def reader() -> Any:
    return FORMAT


@pytest.fixture(scope="module")
def samples() -> list[Sample]:
    model = made.net()
    state, every = model.state_dict(), made.every_type()
    mixed, named = checkpoint()
    scratch = {"scratch": model.scratch}
    floats = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.arange(20.0)[3:9:2]}
    return [
        sample("state.pt", made.saved(state), state),
        sample("checkpoint.ckpt", made.saved(mixed), named),
        sample("every.pth", made.saved(every), every),
        sample("protocol4.bin", made.saved(state, pickle_protocol=4), state),
        sample("module.pt", made.saved(model), {**state, **scratch}),
        sample("script.ptl", made.scripted(model), {**state, **scratch}),
        sample("program.pt2", made.exported(model), {**state, **scratch}),
        sample("program27.pt2", torch_2_7(model), {**state, **scratch}),
        sample("weights", made.saved(state), state),
        sample("big.pt", big_endian(made.saved(floats)), floats),
        sample("packed.pt", made.archive(made.members(made.saved(state)), zipfile.ZIP_DEFLATED), state),
        sample("empty.pt", made.saved({}), {}),
    ]


class TestPt(FormatSuite, MergeSuite):
    """The promises of a reader."""

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What torch loads."""
        return {name: made.array(tensor) for name, tensor in flat(torch_loads(main, files[main])).items()}


def torch_loads(name: str, data: bytes) -> Any:
    """The object that torch makes of a file, for a module its state dict."""
    stream = io.BytesIO(data)
    if name == "program27.pt2":
        return torch.load(io.BytesIO(made.members(data)["serialized_state_dict.pt"]))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        if name.endswith(".ptl"):
            return torch.jit.load(stream).state_dict()
        if name.endswith(".pt2"):
            return torch.export.load(stream).state_dict
        value = torch.load(stream, weights_only=False)
    return value.state_dict() if isinstance(value, torch.nn.Module) else value


def flat(value: Any, path: str = "") -> made.Tensors:
    """The tensors in nested dicts and lists, by path."""
    if isinstance(value, torch.Tensor):
        return {} if value.dtype is torch.complex32 else {path: value}
    pairs = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list | tuple)
        else ()
    )
    found: made.Tensors = {}
    for key, item in pairs:
        found |= flat(item, f"{path}.{key}" if path else str(key))
    return found


def read(data: bytes) -> tuple[Layout, dict[str, Array]]:
    folder = {"m.pt": BytesSource(data)}
    layout = FORMAT.layout("m.pt", folder["m.pt"], folder)
    return layout, dict(read_tensors(folder, "m.pt", layout))


def test_the_other_byte_order_is_what_torch_reads() -> None:
    """The hand-made sample is no fiction: torch.load understands it."""
    value = {"a": torch.arange(6.0)}
    loaded = torch.load(io.BytesIO(big_endian(made.saved(value))), weights_only=True)
    assert torch.equal(loaded["a"], value["a"])


def test_tied_tensors_share_one_segment() -> None:
    layout, _ = read(made.saved(made.net().state_dict()))
    found = {tensor.name: tensor for tensor in layout.tensors}
    assert found["first.weight"].extents == found["tied.weight"].extents
    assert [s.tensor for s in layout.segments if s.tensor and s.tensor.endswith("weight")] == [
        "first.weight",
        "norm.weight",
    ]


def test_a_segment_is_the_whole_storage_and_a_view_a_part_of_it() -> None:
    base = torch.arange(20.0)
    layout, values = read(made.saved({"tail": base[10:], "head": base[:4].reshape(2, 2), "gaps": base[1::6]}))
    named = [(segment.tensor, segment.length) for segment in layout.segments if segment.tensor]
    assert named == [("tail", 80)]
    assert [tensor.encoding for tensor in layout.tensors] == ["raw", "raw", "strided"]
    assert [tensor.nbytes for tensor in layout.tensors] == [40, 16, 76]
    assert values["gaps"].tolist() == [1.0, 7.0, 13.0, 19.0]


def test_an_expanded_tensor_is_seen_and_not_multiplied_beyond_measure() -> None:
    small = torch.tensor([[1.0, 2.0, 3.0]]).expand(4, 3)
    _, values = read(made.saved({"small": small}))
    assert np.array_equal(values["small"], small.numpy())
    data = made.saved({"huge": torch.zeros(1).expand(2**40)})
    folder = {"m.pt": BytesSource(data)}
    layout = FORMAT.layout("m.pt", folder["m.pt"], folder)
    assert layout.tensors[0].shape == (2**40,)
    with pytest.raises(Exception, match="repeats 4 bytes"):
        list(read_tensors(folder, "m.pt", layout))


def test_types_that_numpy_lacks() -> None:
    halves = torch.arange(6, dtype=torch.float16)
    pairs = torch.arange(8, dtype=torch.uint8).reshape(2, 4).view(torch.float4_e2m1fn_x2)
    layout, values = read(made.saved({"complex": torch.view_as_complex(halves.reshape(3, 2)), "four": pairs}))
    assert layout.tensors[0].dtype == "torch.complex32"
    assert values["complex"].tobytes() == halves.numpy().tobytes()
    assert values["four"].dtype == ml_dtypes.float4_e2m1fn
    assert values["four"].shape == (2, 8)
    strided = torch.view_as_complex(torch.arange(8, dtype=torch.float16).reshape(4, 2))[::2]
    layout, values = read(made.saved(strided))
    assert layout.tensors[0].encoding == "strided"
    assert values["tensor"].tobytes() == torch.view_as_real(strided).contiguous().numpy().tobytes()


@pytest.mark.parametrize(
    "value", [torch.arange(3.0), torch.nn.Parameter(torch.arange(3.0)), torch.arange(3.0).untyped_storage()]
)
def test_a_value_without_a_name_is_called_tensor(value: Any) -> None:
    layout, values = read(made.saved(value))
    assert [tensor.name for tensor in layout.tensors] == ["tensor"]
    assert values["tensor"].tobytes() == np.arange(3, dtype=np.float32).tobytes()


def test_the_parts_of_other_kinds_of_tensors_are_seen() -> None:
    scales, zeros = torch.tensor([0.5, 0.25]), torch.tensor([0, 0])
    with pytest.warns(UserWarning, match="deprecated"):
        quantised = torch.quantize_per_channel(torch.eye(2), scales, zeros, 0, torch.qint8)
    conjugated = torch.tensor([1 + 2j]).conj()
    sparse = torch.eye(2).to_sparse()
    _, values = read(made.saved({"q": quantised, "c": conjugated, "s": sparse}))
    assert values["q.0"].tolist() == [2, 0, 0, 4]
    assert values["q.4.1"].tolist() == [0.5, 0.25]
    assert values["c.0"].tolist() == [1 + 2j], "the bytes of a conjugated tensor are not its values"
    assert values["s.1.1"].tolist() == [1.0, 1.0]


def test_attributes_of_tensors_and_of_modules_are_seen() -> None:
    tensor = torch.zeros(2)
    tensor.scale = torch.ones(1)  # type: ignore[attr-defined]
    _, values = read(made.saved({"w": tensor}))
    assert set(values) == {"w", "w.scale"}
    model = torch.nn.Sequential(torch.nn.Linear(1, 1))
    model.cache = [torch.zeros(3)]  # type: ignore[assignment]
    _, values = read(made.saved(model))
    assert set(values) == {"0.weight", "0.bias", "cache.0"}


def test_attributes_of_parameters_are_seen() -> None:
    parameter = torch.nn.Parameter(torch.arange(2.0))
    parameter.scale = torch.ones(1)  # type: ignore[attr-defined]
    _, values = read(made.saved({"p": parameter}))
    assert set(values) == {"p", "p.scale"}


def test_objects_with_slots_and_keywords_are_seen() -> None:
    """What __getnewargs_ex__ and __slots__ leave in a pickle, here of protocol 4."""
    call = b"cx\ny\n" + made.tensor() + b"\x85" + made.table((made.text("k"), b"N")) + b"\x92"
    slots = made.table((made.text("s"), made.tensor()))
    state = b"N" + slots + b"\x86b"
    layout, _ = read(made.state(made.pickle(made.table((made.text("o"), call + state))), bytes(16)))
    assert [tensor.name for tensor in layout.tensors] == ["o.0.0", "o.s"]


def test_names_that_fall_together_stay_apart() -> None:
    _, values = read(
        made.saved({"a.b": torch.zeros(1), "a": {"b": torch.ones(2)}, 0: torch.zeros(3), "0": torch.zeros(4)})
    )
    assert {name: value.size for name, value in values.items()} == {"a.b": 1, "a.b~2": 2, "0": 3, "0~2": 4}


def test_values_that_contain_themselves_are_entered_once() -> None:
    loop: dict[str, Any] = {"w": torch.zeros(1)}
    loop["self"] = loop
    loop["list"] = [loop, loop["w"]]
    _, values = read(made.saved(loop))
    assert set(values) == {"w", "list.1"}


def test_what_is_no_tensor_does_not_disturb() -> None:
    value = {
        "w": torch.zeros(1),
        "numpy": np.arange(5.0),
        "scalar": np.float64(1.5),
        "text": "x" * 10_000,
        "bytes": b"\xff" * 300,
        "surrogate": "\udcff",
        "number": 10**60,
        "set": {1, 2},
        "none": None,
        "size": torch.Size([1]),
        "dtype": torch.float32,
        "device": torch.device("cpu"),
        ("tuple", "key"): torch.ones(1),
    }
    _, values = read(made.saved(value))
    assert set(values) == {"w", "key12"}


def test_a_script_shows_its_constants() -> None:
    constant = torch.tensor([1.5, 2.5])
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        traced = torch.jit.trace(lambda value: value + constant, torch.zeros(2))
    stream = io.BytesIO()
    with pytest.warns(DeprecationWarning, match="torch.jit"):
        torch.jit.save(traced, stream)
    _, values = read(stream.getvalue())
    assert [value.tolist() for name, value in values.items() if name.startswith("constants.")] == [[1.5, 2.5]]


class Wrapped(torch.Tensor):
    """A subclass, which torch.export pickles."""


def test_pickled_weights_of_a_program_are_seen() -> None:
    content = made.members(made.exported(made.net()))
    root = next(iter(content)).partition("/")[0]
    path = f"{root}/data/weights/model_weights_config.json"
    meta = content[path].replace(
        b'"path_name": "weight_0", "is_param": true, "use_pickle": false',
        b'"path_name": "weight_9", "is_param": true, "use_pickle": true',
        1,
    )
    content |= {
        path: meta,
        f"{root}/data/weights/weight_9": made.saved(torch.full((2,), 9.0).as_subclass(Wrapped)),
    }
    _, values = read(made.archive(content))
    assert values["first.weight"].tolist() == [9.0, 9.0]


def test_models_of_one_program_are_told_apart() -> None:
    content = made.members(made.exported(made.net()))
    root = next(iter(content)).partition("/")[0]
    config = content[f"{root}/data/weights/model_weights_config.json"]
    layout, _ = read(made.archive({**content, f"{root}/data/weights/other_weights_config.json": config}))
    assert {"model.norm.bias", "other.norm.bias"} <= {tensor.name for tensor in layout.tensors}


def test_programs_of_torch_2_8_are_seen() -> None:
    """It kept state dicts where later ones have configurations."""
    content = {"m/archive_format": b"pt2", "m/data/weights/model.pt": made.saved({"w": torch.ones(2)})}
    _, values = read(made.archive(content))
    assert values["w"].tolist() == [1.0, 1.0]
    with pytest.raises(Malformed, match="packed once more"):
        read(made.archive(content, zipfile.ZIP_DEFLATED))


def test_an_empty_tensor_of_four_bits_keeps_its_shape() -> None:
    empty = torch.zeros((0, 4), dtype=torch.uint8).view(torch.float4_e2m1fn_x2)
    _, values = read(made.saved({"w": empty}))
    assert (values["w"].dtype, values["w"].shape) == (ml_dtypes.float4_e2m1fn, (0, 8))


def test_the_old_form_is_opaque_and_says_so(tmp_path: Any) -> None:
    data = made.saved({"w": torch.zeros(1)}, _use_new_zipfile_serialization=False)
    layout = layouts({"m.pt": BytesSource(data)}, [FORMAT])["m.pt"]
    assert layout.format == "opaque"
    assert "old form" in layout.note


def test_archives_of_others_are_not_claimed() -> None:
    data = made.archive({"hello.txt": b"hello", "x/data.txt": b""})
    assert not FORMAT.claims("m.zip", data[:4096])
    assert not FORMAT.claims("m.npz", made.saved({})[:4096])
    assert not FORMAT.claims("m.pt", struct.pack("<Q", 5))
    layout = layouts({"m.bin": BytesSource(data)}, [FORMAT])["m.bin"]
    assert (layout.format, layout.note) == (
        "opaque",
        "not read as pt: it is a zip archive, but none of PyTorch's",
    )
