"""PyTorch's archives as nobody should write them."""

from __future__ import annotations

import pickle as real_pickle
import struct
from typing import TYPE_CHECKING

import pytest

from lepton_ai.formats import pickles
from lepton_ai.formats.contract import BytesSource, Layout, Malformed
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.pt import FORMAT
from lepton_ai.formats.torch_tensors import MAX_DEPTH
from tests.formats import torch_archives as made
from tests.formats.torch_archives import number, pickle, state, storage, table, tensor, text

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.frameworks

DATA = bytes(range(16))


def read(data: bytes) -> Layout:
    source = BytesSource(data)
    return FORMAT.layout("m.pt", source, {"m.pt": source})


def names(data: bytes) -> list[str]:
    return [found.name for found in read(data).tensors]


def named(value: bytes) -> bytes:
    """A pickle of {"w": value}."""
    return pickle(table((text("w"), value)))


def test_the_builders_build_what_is_understood() -> None:
    """Else every refusal below would prove nothing."""
    layout = read(state(named(tensor()), DATA))
    assert [(found.name, found.shape, found.nbytes) for found in layout.tensors] == [("w", (4,), 16)]


def test_a_pickle_that_runs_code_does_not_run_it(tmp_path: Path) -> None:
    trap = tmp_path / "ran"
    call = b"cos\nmkdir\n(" + text(str(trap)) + b"tR"
    armed = pickle(table((text("w"), tensor()), (text("trap"), call)))
    assert names(state(armed, DATA)) == ["w"]
    assert not trap.exists()
    with pytest.raises(real_pickle.UnpicklingError):  # the tensor's storage is not there …
        real_pickle.loads(armed)
    real_pickle.loads(pickle(call))
    assert trap.exists()  # … but the trap is armed: whoever unpickles it, runs it


@pytest.mark.parametrize("opcode", [b"R", b"\x81", b"b"], ids=["REDUCE", "NEWOBJ", "BUILD"])
def test_no_way_of_calling_runs_code(tmp_path: Path, opcode: bytes) -> None:
    trap = tmp_path / "ran"
    args = b"(" + text(f"__import__('os').mkdir({str(trap)!r})") + b"t"
    for function in (b"cbuiltins\nexec\n", text("builtins") + text("eval") + b"\x93"):
        assert names(state(named(function + args + opcode))) == []
    assert not trap.exists()


def test_a_module_that_is_named_is_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "trapped_module.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert names(state(named(b"ctrapped_module\nThing\n)R"))) == []


def shared(levels: int, leaf: bytes, width: int = 2) -> bytes:
    """A list of lists of …, each level ``width`` times the same one: short to write, endless to walk."""
    steps = [b"]" + leaf + b"aq\x00"]
    steps += [b"0](" + b"h\x00" * width + b"eq\x00" for _ in range(levels)]
    return b"".join(steps)


BOMBS = {
    "2 to the 60 tensors": named(shared(60, tensor())),
    "2 to the 60 empty lists": named(shared(60, b"]")),
    "60 to the 60": named(shared(60, tensor(), 60)),
    "wide and shared": named(b"](" + number(1) * 20_000 + b"eq\x000](" + b"h\x00" * 20_000 + b"e"),
    "shared arguments": named(b"(" + number(1) * 20_000 + b"tq\x000](" + b"cx\ny\nh\x00R" * 5_000 + b"e"),
    "shared state": named(
        table(*[(text("k"), b"N")] * 20_000) + b"q\x000](" + b"cx\ny\n)Rh\x00b" * 5_000 + b"e"
    ),
    "names that grow": named(
        b"".join((b"}" + text("k" * 4000)) * 1 for _ in range(300)) + tensor() + b"s" * 300
    ),
    "a long name for many": named(
        b"}" + text("k" * 4000) + b"](" + tensor(within=storage()) + b"q\x00" + b"h\x00" * 300_000 + b"es"
    ),
    "deep lists": named(b"]" * 200_000 + tensor() + b"a" * 200_000),
    "deep tuples": named(tensor() + b"\x85" * 200_000),
    "deep calls": named(tensor() + b"q\x000" + b"cx\ny\n" * 100_000 + b"h\x00" + b"\x85R" * 100_000),
    "deeper than allowed": named(b"]" * MAX_DEPTH + tensor() + b"a" * MAX_DEPTH),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_bombs_are_refused(bomb: bytes) -> None:
    with pytest.raises(Malformed, match=r"shared so often|nests too deeply|more than \d+ containers"):
        read(state(bomb, DATA))


@pytest.mark.parametrize(
    "bomb",
    [pickle(b"N" + b"2" * 5_000_000), pickle(b"}" * 2_000_000), pickle(b"(" * 5_000_000)],
    ids=["opcodes", "containers", "marks"],
)
def test_pickles_beyond_the_limits_are_refused(bomb: bytes) -> None:
    with pytest.raises(Malformed, match="more than"):
        pickles.load(bomb)


def test_a_pickle_that_keeps_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pickles, "MAX_CONTAINERS", 10)
    with pytest.raises(Malformed, match="keeps more than 10"):
        pickles.load(pickle(b"N" + b"\x94" * 11))


def test_a_pickle_beyond_the_size_limit_is_not_even_read() -> None:
    with pytest.raises(Malformed, match="bytes"):
        pickles.load(bytes(pickles.MAX_PICKLE + 1))


def test_values_that_contain_themselves_end() -> None:
    assert names(state(named(b"]q\x00(h\x00h\x00h\x00" + tensor() + b"e"), DATA)) == ["w.3"]
    assert names(state(named(b"}q\x00" + text("self") + b"h\x00s" + text("t") + tensor() + b"s"), DATA)) == [
        "w.t"
    ]
    record = b"cx\ny\n)Rq\x00" + table((text("me"), b"h\x00"), (text("t"), tensor())) + b"b"
    assert names(state(named(record), DATA)) == ["w.t"]


def test_a_key_said_twice_counts_once() -> None:
    data = pickle(table((text("w"), tensor()), (text("w"), tensor((2,)))))
    assert [found.shape for found in read(state(data, DATA)).tensors] == [(2,)]


BROKEN_PICKLES = {
    "empty": b"",
    "cut": named(tensor())[:-1],
    "cut in a string": b"\x80\x02X\xff\x00\x00\x00abc",
    "string of 2 to the 63": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b"abc.",
    "bytes of 2 to the 63": b"\x80\x04\x8e" + struct.pack("<Q", 2**63) + b"abc.",
    "number of 4 GB": b"\x80\x02\x8b\xff\xff\xff\xff1.",
    "nothing on the stack": pickle(b""),
    "pop of nothing": pickle(b"00N"),
    "no mark": pickle(b"t"),
    "below the mark": pickle(b"N(\x85"),
    "memo that is not there": pickle(b"h\x07"),
    "odd items": pickle(b"}(Nu"),
    "items of a number": pickle(b"NNNs"),
    "append to a tuple": pickle(b")Na"),
    "global that is cut": pickle(b"cos"),
    "global of numbers": pickle(b"NN\x93"),
    "unknown opcode": pickle(b"\xff"),
    "extension": pickle(b"\x82\x01"),
    "text protocol": b"I1\n.",
    "persistent text": pickle(b"P0\n"),
    "out-of-band buffer": pickle(b"\x97"),
}


@pytest.mark.parametrize("data", BROKEN_PICKLES.values(), ids=BROKEN_PICKLES.keys())
def test_broken_pickles_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed, match="pickle"):
        read(state(data))


def persistent(*parts: bytes) -> bytes:
    return b"(" + b"".join(parts) + b"tQ"


LIES = {
    "storage that is not there": named(tensor(within=storage("7"))),
    "storage of another size": named(tensor(within=storage(count=3))),
    "storage of a huge size": named(tensor(within=storage(count=2**62))),
    "storage of a negative size": named(tensor(within=storage(count=-4))),
    "storage of a strange kind": named(tensor(within=storage(kind="EvilStorage"))),
    "storage whose key climbs": named(tensor(within=storage("../../data.pkl"))),
    "storage without a key": named(tensor(within=persistent(text("storage")))),
    "storage of none": named(tensor(within=b"NQ")),
    "storage that is a number": named(tensor(within=number(3))),
    "shape beyond the storage": named(tensor((5,))),
    "offset beyond the storage": named(tensor(offset=1)),
    "negative offset": named(tensor((2,), (1,), -1)),
    "huge offset": named(tensor(offset=2**120)),
    "negative extent": named(tensor((-1,))),
    "negative stride": named(tensor((2,), (-1,))),
    "huge stride": named(tensor((2,), (2**120,))),
    "stride beyond": named(tensor((2,), (4,))),
    "huge extent": named(tensor((2**64,), (0,))),
    "huge and empty": named(tensor((0, 2**62, 2**62), (1, 1, 1))),
    "extents that wrap round": named(tensor((2**32, 2**32, 4), (0, 0, 1))),
    "fewer strides": named(tensor((2, 2), (1,))),
    "65 dimensions": named(tensor((1,) * 65, (1,) * 65)),
    "shape of a list": named(tensor().replace(b"(" + number(4) + b"t", b"](" + number(4) + b"e", 1)),
    "extent is true": named(tensor((1,)).replace(b"(" + number(1) + b"t", b"(\x88t")),
    "no arguments": named(b"ctorch._utils\n_rebuild_tensor_v2\n)R"),
    "arguments that are none": named(b"ctorch._utils\n_rebuild_tensor_v2\nNR"),
    "unknown type": named(
        tensor().replace(b"_v2", b"_v3")[:-2] + b"ctorch\nfloat7\ntR"
    ),
    "name that moves the cursor": pickle(table((text("\x1b[2J"), tensor()))),
}  # fmt: skip


@pytest.mark.parametrize("data", LIES.values(), ids=LIES.keys())
def test_lies_about_tensors_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(state(data, DATA))


def test_two_storages_in_the_same_bytes_are_refused() -> None:
    """Members that overlap, so that a change of one tensor would change another."""
    content = state(
        pickle(table((text("a"), tensor()), (text("b"), tensor(within=storage("1"))))), DATA, DATA
    )
    directory = content.index(b"PK\x01\x02")
    first = content.index(b"m/data/0", directory)
    second = content.index(b"m/data/1", directory)
    forged = bytearray(content)
    forged[second - 4 : second] = content[first - 4 : first]
    with pytest.raises(Malformed):
        read(bytes(forged))


CONFIG = "m/data/weights/model_weights_config.json"


def program(payloads: str, **members: bytes) -> bytes:
    """A torch.export archive whose configuration of weights says ``payloads``."""
    content = {"m/archive_format": b"pt2", CONFIG: f'{{"config":{{{payloads}}}}}'.encode()}
    return made.archive(content | {f"m/data/weights/{name}": data for name, data in members.items()})


def payload(
    sizes: str = '[{"as_int":4}]', strides: str = '[{"as_int":1}]', dtype: int = 7, layout: int = 7
) -> str:
    meta = f'"dtype":{dtype},"sizes":{sizes},"strides":{strides},"storage_offset":{{"as_int":0}},"layout":{layout}'
    return f'"w":{{"path_name":"x","tensor_meta":{{{meta}}}}}'


def test_the_builder_of_programs_builds_what_is_understood() -> None:
    assert names(program(payload(), x=DATA)) == ["w"]


STRANGE_ARCHIVES = {
    "no pickle": made.archive({"m/version": b"3"}),
    "byte order of nobody": state(named(tensor()), DATA).replace(b"little", b"middle"),
    "byte order of pages": made.archive({"m/data.pkl": named(tensor()), "m/byteorder": b"x" * 1000}),
    "another root": made.archive({"m/version": b"3", "n/data.pkl": named(tensor()), "n/data/0": DATA}),
    "no members": made.archive({}),
    "program without weights": program(payload()),
    "program with weights of no shape": program('"w":{"path_name":"x","tensor_meta":{}}', x=DATA),
    "program with symbolic sizes": program(payload('[{"as_expr":"s0"}]'), x=DATA),
    "program with negative sizes": program(payload('[{"as_int":-4}]'), x=DATA),
    "program with huge sizes": program(payload(f'[{{"as_int":{"9" * 4000}}}]'), x=DATA),
    "program with fewer strides": program(payload(strides="[]"), x=DATA),
    "program with a type of nobody": program(payload(dtype=99), x=DATA),
    "program with a sparse weight": program(payload(layout=1), x=DATA),
    "program with a key of a lone surrogate": program('"w":{"\\ud800":1,"path_name":"x"}'),
    "program without JSON": program("", x=DATA).replace(b'"config"', b"'config'"),
    "program that uses a pickle twice": program(
        '"v":{"path_name":"weight_0","use_pickle":true},"w":{"path_name":"weight_0","use_pickle":true}',
        weight_0=state(named(tensor()), DATA),
    ),
    "program within a program": made.archive(
        {"serialized_state_dict.pt": made.archive({"serialized_state_dict.pt": state(named(tensor()), DATA)})}
    ),
}


@pytest.mark.parametrize("data", STRANGE_ARCHIVES.values(), ids=STRANGE_ARCHIVES.keys())
def test_strange_archives_are_refused(data: bytes) -> None:
    with pytest.raises(Malformed):
        read(data)


def test_a_refused_file_is_kept_as_opaque_bytes_and_says_why() -> None:
    data = state(named(tensor((5,))), DATA)
    layout = layouts({"m.pt": BytesSource(data)}, [FORMAT])["m.pt"]
    assert layout.format == "opaque"
    assert layout.note == "not read as pt: 'w' lies outside of member 'm/data/0'"
