"""Finding the reader for a file: strangers' plugins, broken ones, and files that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from lepton_ai.formats import detect
from lepton_ai.formats.contract import BytesSource, Layout, Malformed, Segment, Source
from lepton_ai.formats.plugins import Plugin


class Reader:
    """Claims .x files and answers as it was told."""

    name = "x"

    def __init__(self, answer: Layout | Exception) -> None:
        self.answer = answer

    def claims(self, path: str, head: bytes) -> bool:
        return path.endswith(".x")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def _layout(answer: Layout | Exception, **files: bytes) -> dict[str, Layout]:
    folder = {name.replace("_", "."): BytesSource(data) for name, data in files.items()}
    return detect.layouts(folder, [Reader(answer)])


@pytest.mark.parametrize(
    ("answer", "note"),
    [
        (Malformed("cut"), "not read as x: cut"),
        (KeyError("k"), "the reader for x failed on it: KeyError"),
        (RecursionError("deep"), "failed on it: RecursionError"),
        (Layout("x", (Segment(0, 3),)), "segments end at 3, the file at 5"),
        (Layout("x", (Segment(1, 4),)), "does not continue"),
        (Layout("x", (Segment(0, 5),), companions={"../y": ()}), "which is not there"),
    ],
)
def test_a_bad_answer_makes_the_file_opaque_and_is_told(answer: Layout | Exception, note: str) -> None:
    found = _layout(answer, a_x=b"12345")["a.x"]
    assert found.format == "opaque"
    assert found.segments == (Segment(0, 5),)
    assert note in found.note


def test_a_neighbour_follows_the_file_that_describes_it() -> None:
    segments = (Segment(0, 2, "w", "float16"), Segment(2, 1))
    found = _layout(
        Layout("x", (Segment(0, 5),), companions={"b.data": segments}), a_x=b"12345", b_data=b"123"
    )
    assert found["b.data"].segments == segments


def test_an_empty_file_has_no_segments() -> None:
    assert _layout(Layout("x", ()), empty_bin=b"")["empty.bin"].segments == ()


@pytest.fixture
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    broken = [Plugin("broken", "no_such_module_at_all:FORMAT")]
    monkeypatch.setattr(detect, "plugins", lambda group: broken)
    detect.formats.cache_clear()
    yield
    detect.formats.cache_clear()


@pytest.mark.usefixtures("plugins")
def test_a_broken_plugin_is_told_and_forbids_nothing() -> None:
    with pytest.warns(RuntimeWarning, match="no_such_module_at_all"):
        found = detect.layouts({"a": BytesSource(b"1")})
    assert found["a"].format == "opaque"


GARBAGE = bytes(range(250, 50, -1)) * 5
HOSTILE = b'\x80\x02cos\nsystem\n(S"id"\ntR.'
HOSTILE_IN_LETTERS = b"cos\nsystem\n(S'id'\ntR."
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 5\n"


@pytest.mark.parametrize(
    "path",
    [
        "m.safetensors", "m.pt", "m.PTH", "m.pt2", "m.onnx", "m.h5", "m.weights.h5", "m.hdf5", "m.keras",
        "variables/variables.index", "m.npy", "m.npz", "m.gguf", "m.skops", "m.ubj",
    ],
)  # fmt: skip
@pytest.mark.parametrize("data", [b"", GARBAGE, HOSTILE, HOSTILE_IN_LETTERS, POINTER])
def test_a_file_that_is_not_what_its_suffix_says_is_told_of(path: str, data: bytes) -> None:
    found = detect.layouts({path: BytesSource(data)})[path]
    assert found.format == "opaque"
    assert found.note.startswith("not read as "), found.note


def test_why_it_is_not_read() -> None:
    files = {"a.pt": b"", "b.pt": HOSTILE, "c.pt": POINTER, "d.pt": HOSTILE_IN_LETTERS + b"\n" * 9000}
    found = detect.layouts({path: BytesSource(data) for path, data in files.items()})
    assert [layout.note for layout in found.values()] == [
        "not read as pt: it is empty",
        "not read as pt: it does not begin like such a file",
        "not read as pt: it is a pointer of Git LFS, not the file itself (git lfs pull fetches that)",
        "not read as pt: it does not begin like such a file",
    ]


@pytest.mark.parametrize(
    ("path", "data"),
    [
        ("corpus.pt", b"Todos os seres humanos nascem livres e iguais.\n"),
        ("corpus.pt", "é".encode() * 2049),  # the head ends within a letter
        ("corpus.pt", b"Vamos\nOla " * 3000),
        ("packages.pth", b"/usr/lib/python3\nimport site\n"),
        ("page.pt", b'<html tal:content="x">\n</html>\n'),
        ("pytorch_model.bin", GARBAGE),
        ("weights.data", b""),
        ("tokenizer.model", GARBAGE),
        ("config.json", b"{}"),
        ("faiss.index", GARBAGE),
        ("notes.txt", b"tree or not"),
        ("model.ckpt", GARBAGE),
    ],
)
def test_a_suffix_that_others_use_as_well_claims_nothing(path: str, data: bytes) -> None:
    assert detect.layouts({path: BytesSource(data)})[path].note == ""


def test_tensor_data_may_be_called_as_it_likes() -> None:
    segments = (Segment(0, 3, "w", "float16"),)
    answer = Layout("x", (Segment(0, 5),), companions={"b.onnx": segments})
    readers = [Reader(answer), *detect.formats()]
    found = detect.layouts({"a.x": BytesSource(b"12345"), "b.onnx": BytesSource(b"\xff23")}, readers)
    assert (found["b.onnx"].format, found["b.onnx"].note) == ("tensor data", "")
