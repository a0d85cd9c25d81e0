"""A small, fixed part of what `make fuzz` does: every reader on hostile files that are the same in every run."""

from __future__ import annotations

import io
import os
import random
import subprocess
import sys
import tempfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.formats.contract import Extent, Format, Layout, Malformed, Segment, Tensor
from lepton_ai.formats.detect import formats
from lepton_ai.testing import fuzzing
from lepton_ai.testing.formats import Sample
from lepton_ai.testing.structure import STRUCTURES, mutate_file

SEEDS = Path(__file__).parent / "seeds"
READERS = {reader.name: reader for reader in formats() if (SEEDS / reader.name).is_dir()}
CASES, TRACED = 300, 40
LIMITS = fuzzing.Limits(seconds=5)
"""Five times what the fuzzer allows: a test must not fail because a machine is slow."""


@pytest.fixture
def tracing() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def samples(name: str) -> list[Sample]:
    return fuzzing.samples_in(SEEDS / name, READERS[name])


def test_every_reader_of_ours_is_fuzzed() -> None:
    ours = {reader.name for reader in formats() if type(reader).__module__.startswith("lepton_ai.")}
    assert ours == set(READERS) == set(STRUCTURES)


@pytest.mark.parametrize("name", READERS)
def test_seeds_are_understood(name: str) -> None:
    for sample in samples(name):
        assert fuzzing.examine(READERS[name], sample.files, sample.main).understood, sample.main


@pytest.mark.parametrize("name", READERS)
def test_lies_are_refused_or_keep_the_contract(name: str) -> None:
    known = samples(name)
    outcomes = []
    for number in range(CASES):
        files, main = fuzzing.case(name, known, 0, number)
        outcomes.append(
            fuzzing.examine(READERS[name], files, main, LIMITS, rng=fuzzing.twists(name, 0, number))
        )
    understood = sum(outcome.understood for outcome in outcomes)
    assert CASES // 20 < understood < CASES, "the lies are too bold, or none"


@pytest.mark.parametrize("name", READERS)
@pytest.mark.usefixtures("tracing")
def test_lies_do_not_take_much_memory(name: str) -> None:
    known = samples(name)
    limits = fuzzing.Limits(seconds=40)  # tracing is slow
    for number in range(TRACED):
        fuzzing.examine(READERS[name], *fuzzing.case(name, known, 1, number), limits)


@pytest.mark.parametrize("name", READERS)
def test_a_case_is_made_again_from_its_number(name: str) -> None:
    known = samples(name)
    for number in range(20):
        assert fuzzing.case(name, known, 5, number) == fuzzing.case(name, known, 5, number)
    assert len({tuple(sorted(fuzzing.case(name, known, 5, n)[0].items())) for n in range(20)}) > 15


@pytest.mark.parametrize("name", READERS)
def test_mutators_take_anything(name: str) -> None:
    for data in (
        b"",
        b"\0",
        b"PK\x03\x04",
        b"GGUF" + b"\xff" * 40,
        b"\x93NUMPY",
        b"{",
        b"\x89HDF\r\n\x1a\n" * 9,
    ):
        for number in range(20):
            mutate_file(name, data, random.Random(number))


def test_no_seed_tells_of_the_machine_that_wrote_it() -> None:
    for path in SEEDS.rglob("*"):
        data = [path.read_bytes()] if path.is_file() else []
        if data and zipfile.is_zipfile(io.BytesIO(data[0])):
            with zipfile.ZipFile(io.BytesIO(data[0])) as archive:
                data += [archive.read(member) for member in archive.namelist()]
        for place in (
            b"site-packages",
            os.fsencode(tempfile.gettempdir()),
            os.fsencode(Path(__file__).parent),
        ):
            assert not [d for d in data if place in d], path


class Stub:
    """A reader that answers, or fails, in one way."""

    name = "stub"

    def __init__(self, answer: Layout | Exception | object) -> None:
        self.answer = answer

    def claims(self, path: str, head: bytes) -> bool:
        return True

    def layout(self, path: str, source: object, folder: object) -> Layout:
        if isinstance(self.answer, Exception):
            raise self.answer
        if callable(self.answer):
            return self.answer()
        assert isinstance(self.answer, Layout)
        return self.answer


def forever() -> Layout:
    while True:
        pass


def greedy() -> Layout:
    return tensor(name=str(len(bytearray(b"x") * (200 << 20))))


def refusing() -> Layout:
    raise Malformed(str(greedy()))


def tensor(name: str = "a", shape: tuple[int, ...] = (4,), extent: Extent | None = None) -> Layout:
    found = Tensor(name, "uint8", shape, (extent or Extent(0, 4),))
    return Layout("stub", (Segment(0, 4, name, "uint8"),), (found,))


BROKEN: dict[str, tuple[object, str]] = {
    "raises": (KeyError("x"), "KeyError leaves it"),
    "recursion": (RecursionError(), "RecursionError leaves it"),
    "hangs": (forever, "takes more than"),
    "greedy": (greedy, "bytes of memory"),
    "refuses greedily": (refusing, "bytes of memory"),
    "gap": (Layout("stub", (Segment(0, 2), Segment(3, 1))), "first law"),
    "short": (Layout("stub", (Segment(0, 3),)), "first law"),
    "twice": (Layout("stub", (Segment(0, 4),), tensor().tensors * 2), "same name"),
    "stranger": (Layout("stub", (Segment(0, 4, "b"),), tensor().tensors), "which is no tensor"),
    "same segments": (Layout("stub", (Segment(0, 2, "a"), Segment(2, 2, "a")), tensor().tensors), "two segments"),
    "companion": (Layout("stub", (Segment(0, 4),), (), {"b": (Segment(0, 1),)}), "is not there"),
    "outside": (tensor(extent=Extent(2, 4)), "outside of the file"),
    "before": (tensor(extent=Extent(-1, 4)), "outside of the file"),
    "name": (tensor("a\n"), "characters that are none"),
    "surrogate": (tensor("\ud800"), "characters that are none"),
    "shape": (tensor(shape=(1 << 63,)), "has the shape"),
    "args": (
        Layout("stub", (Segment(0, 4),), (Tensor("a", "uint8", (), (), args={"n": 1 << 70}),)), "cannot be stored"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.usefixtures("tracing")
def test_broken_promises_are_noticed(case: str) -> None:
    answer, message = BROKEN[case]
    reader: Format = Stub(answer)
    with pytest.raises(fuzzing.Broken, match=message):
        fuzzing.examine(reader, {"m": b"1234"}, "m", fuzzing.Limits(seconds=0.3))


def test_readers_of_architecture_and_writers_are_watched_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(*_: object) -> None:
        raise KeyError("x")

    (sample,) = [s for s in samples("onnx") if s.main == "nested.onnx"]
    monkeypatch.setattr(fuzzing, "WRITTEN", 1)
    assert fuzzing.examine(READERS["onnx"], sample.files, sample.main, rng=random.Random(0)).understood
    for place, name in ((fuzzing.architecture.READERS, "onnx"), (vars(fuzzing), "splice")):
        with monkeypatch.context() as patched:
            patched.setitem(place, name, failing)
            with pytest.raises(fuzzing.Broken, match="KeyError leaves it"):
                fuzzing.examine(READERS["onnx"], sample.files, sample.main, rng=random.Random(0))


def test_the_memory_of_the_process_is_watched_without_tracing() -> None:
    """In a process of its own: this one may have been larger before."""
    program = "from tests.formats import test_fuzz_fixed as t; t.fuzzing.examine(t.Stub(t.greedy), {'m': b'1'}, 'm')"
    root = Path(__file__).parent.parent.parent
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=False
    )
    assert "Broken: it takes" in run.stderr


def test_kept_promises_are_none_the_worse() -> None:
    assert fuzzing.examine(Stub(tensor()), {"m": b"1234"}, "m").understood
    refused = fuzzing.examine(Stub(Malformed("no")), {"m": b"1234"}, "m")
    assert (refused.understood, refused.refusal) == (False, "no")
