"""What every reader of a file format promises."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.formats.contract import BytesSource, Extent, Format, Layout, Malformed, Source, check_partition
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.encodings import decode
from lepton_ai.repository import ModelRepository
from lepton_ai.testing.mutations import mutate

Array = np.ndarray[Any, np.dtype[Any]]


@dataclass(frozen=True)
class Sample:
    """A model written by the real framework.

    ``files`` are its files by relative path, ``main`` the one that the reader under test reads, ``tensors`` what the
    framework says that is in it (every one of them must be found; the reader may find more).
    """

    files: Mapping[str, bytes]
    main: str
    tensors: Mapping[str, Array] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path, tensors: Mapping[str, Array], main: str | None = None) -> Sample:
        """A sample from a file, or from a folder whose reader reads ``main``."""
        if path.is_file():
            return cls({path.name: path.read_bytes()}, path.name, tensors)
        files = {
            p.relative_to(path).as_posix(): p.read_bytes() for p in sorted(path.rglob("*")) if p.is_file()
        }
        return cls(files, main or min(files), tensors)


class CountingSource(BytesSource):
    """Counts what is read of it."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.bytes_read = 0

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``, counted."""
        self.bytes_read += length
        return super().read(offset, length)


def read_tensors(folder: Mapping[str, Source], path: str, layout: Layout) -> Iterator[tuple[str, Array]]:
    """Every tensor of a layout, decoded from the bytes of its extents only."""

    def part(extent: Extent) -> bytes:
        base = Path(path).parent
        place = path if not extent.path else (base / extent.path).as_posix()
        return folder[place].read(extent.offset, extent.length)

    for tensor in layout.tensors:
        yield tensor.name, decode(tensor, [part(extent) for extent in tensor.extents])


class FormatSuite:
    """Subclass it, and define the fixtures ``reader`` (a Format) and ``samples`` (a list of Sample)."""

    fixed_mutations = 300
    """Mutations per sample in the everyday run; `make fuzz` does many more."""

    own_segments = True
    """False for formats whose tensors are text or a few bytes each: segments of their own would cost more than help."""

    def test_claims_its_own(self, reader: Format, samples: list[Sample]) -> None:
        """The reader knows its files by path and head."""
        for sample in samples:
            assert reader.claims(sample.main, sample.files[sample.main][:4096]), sample.main

    def test_segments_partition_every_file(self, reader: Format, samples: list[Sample]) -> None:
        """First law, for the file and its companions; names are unique."""
        for sample in samples:
            folder = {path: BytesSource(data) for path, data in sample.files.items()}
            layout = reader.layout(sample.main, folder[sample.main], folder)
            check_partition(layout.segments, folder[sample.main].size)
            base = Path(sample.main).parent
            for relative, segments in layout.companions.items():
                check_partition(segments, folder[(base / relative).as_posix()].size)
            names = [tensor.name for tensor in layout.tensors]
            assert len(names) == len(set(names))
            plain = any(tensor.extents and tensor.encoding != "deflated" for tensor in layout.tensors)
            if self.own_segments and plain:
                assert any(segment.tensor for segment in layout.segments) or layout.companions

    def test_tensors_equal_the_frameworks(self, reader: Format, samples: list[Sample]) -> None:
        """Names, dtypes, shapes and every bit are what the framework wrote."""
        for sample in samples:
            folder = {path: BytesSource(data) for path, data in sample.files.items()}
            layout = reader.layout(sample.main, folder[sample.main], folder)
            found = dict(read_tensors(folder, sample.main, layout))
            missing = set(sample.tensors) - set(found)
            assert not missing, f"{sample.main}: not found {sorted(missing)}, found {sorted(found)}"
            for name, expected in sample.tensors.items():
                assert found[name].shape == expected.shape, name
                assert found[name].dtype == expected.dtype, name
                assert found[name].tobytes() == np.ascontiguousarray(expected).tobytes(), name

    def test_is_found_without_being_named(self, reader: Format, samples: list[Sample]) -> None:
        """With all readers installed, detection chooses this one."""
        for sample in samples:
            folder = {path: BytesSource(data) for path, data in sample.files.items()}
            layout = layouts(folder)[sample.main]
            assert layout.format == reader.layout(sample.main, folder[sample.main], folder).format, (
                layout.note
            )

    def test_layout_reads_headers_only(self, reader: Format, samples: list[Sample]) -> None:
        """Looking inside reads less than the file twice over, and no tensor when the file is large."""
        for sample in samples:
            counted = {path: CountingSource(data) for path, data in sample.files.items()}
            reader.layout(sample.main, counted[sample.main], counted)
            for path, source in counted.items():
                assert source.bytes_read <= 2 * source.size + 65536, path

    def test_goes_through_a_repository_unchanged(
        self, samples: list[Sample], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Third law: saved and checked out, every byte is the same, and tensors read alone are the framework's."""
        monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
        with ModelRepository(tmp_path / "repository", author="suite", encrypt=False) as repository:
            for number, sample in enumerate(samples):
                written, back = tmp_path / f"in{number}", tmp_path / f"out{number}"
                for path, data in sample.files.items():
                    (written / path).parent.mkdir(parents=True, exist_ok=True)
                    (written / path).write_bytes(data)
                version = repository.save_files(written)
                version.checkout(back)
                for path, data in sample.files.items():
                    assert (back / path).read_bytes() == data, path
                for name in sorted(sample.tensors)[:20]:
                    found = version.tensor(f"{sample.main}:{name}")
                    assert found.tobytes() == np.ascontiguousarray(sample.tensors[name]).tobytes(), name

    def test_mutations_are_understood_or_refused(self, reader: Format, samples: list[Sample]) -> None:
        """Cut, flipped, lying bytes: either a layout that keeps the first law, or Malformed. Nothing else."""
        for number, sample in enumerate(samples):
            rng = random.Random(number)
            for _ in range(self.fixed_mutations):
                try_mutation(reader, sample, rng)


def try_mutation(reader: Format, sample: Sample, rng: random.Random) -> bool:
    """Read one mutated sample; tell whether the reader understood it."""
    data = mutate(sample.files[sample.main], rng)
    folder = {
        path: BytesSource(data if path == sample.main else other) for path, other in sample.files.items()
    }
    try:
        layout = reader.layout(sample.main, folder[sample.main], folder)
    except Malformed:
        return False
    check_partition(layout.segments, folder[sample.main].size)
    try:
        for _ in read_tensors(folder, sample.main, layout):
            pass
    except Malformed:
        return False
    return True
