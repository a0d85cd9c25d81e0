"""Finding the reader for a file: strangers' plugins, broken ones, and files that nobody knows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, EntryPoints

import pytest

from lepton_ai.formats import detect
from lepton_ai.formats.contract import BytesSource, Layout, Malformed, Segment, Source


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
    entries = EntryPoints([EntryPoint("broken", "no_such_module_at_all:FORMAT", detect.GROUP)])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: entries)
    detect.formats.cache_clear()
    yield
    detect.formats.cache_clear()


@pytest.mark.usefixtures("plugins")
def test_a_broken_plugin_is_told_and_forbids_nothing() -> None:
    with pytest.warns(RuntimeWarning, match="no_such_module_at_all"):
        found = detect.layouts({"a": BytesSource(b"1")})
    assert found["a"].format == "opaque"
