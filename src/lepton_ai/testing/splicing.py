"""What splicing promises for every format."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import ml_dtypes
import numpy as np

from lepton_ai.formats.contract import BytesSource, Format, Malformed, Source, Tensor
from lepton_ai.formats.encodings.dtypes import BITS, dtype_of
from lepton_ai.formats.splice import Refused, refusals, splice
from lepton_ai.testing.formats import Array, Sample, read_tensors
from lepton_ai.testing.mutations import mutate


class Spliced:
    """A sample in which some tensors get new elements."""

    def __init__(self, reader: Format, sample: Sample) -> None:
        self.reader, self.main = reader, sample.main
        self.folder: dict[str, Source] = {path: BytesSource(data) for path, data in sample.files.items()}
        self.layout = reader.layout(sample.main, self.folder[sample.main], self.folder)
        self.tensors = {tensor.name: tensor for tensor in self.layout.tensors}
        self.arrays = dict(read_tensors(self.folder, sample.main, self.layout))

    def replaceable(self) -> list[list[str]]:
        """Tensors that can be replaced, those together that share bytes."""
        groups: list[list[str]] = []
        for tensor in self.layout.tensors:
            tied = [group for group in groups if _tied(self.tensors[group[0]], tensor)]
            groups = [group for group in groups if group not in tied]
            groups.append([*(name for group in tied for name in group), tensor.name])
        told = refusals(self.main, self.layout, self.folder, list(self.tensors))
        return [group for group in groups if told.keys().isdisjoint(group)]

    def splice(self, arrays: Mapping[str, Array]) -> dict[str, Source]:
        """All files, with these arrays in them."""
        changes = {name: BytesSource(array.tobytes()) for name, array in arrays.items()}
        return {**self.folder, **splice(self.main, self.layout, self.folder, changes)}

    def read(self, folder: Mapping[str, Source]) -> dict[str, Array]:
        """Every tensor, by the reader's own account of the files."""
        layout = self.reader.layout(self.main, folder[self.main], folder)
        return dict(read_tensors(folder, self.main, layout))


class SpliceSuite:
    """Subclass it, and define the fixtures ``reader`` (a Format) and ``samples`` (a list of Sample).

    ``loaded`` may be overridden to ask the real framework.
    """

    refused: Mapping[str, str] = {}
    """What is known not to be replaceable in the samples: tensor → a part of the reason."""

    fixed_lies = 40
    """Mutations per sample."""

    def may_change(self, tensor: Tensor) -> bool:  # noqa: ARG002  (for those who override it)
        """Whether the framework takes any elements for it (no tree's children, say)."""
        return True

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:  # noqa: ARG002  (for those who override it)
        """What the framework finds in the files, which are also written to ``folder``; by default nothing."""
        return {}

    def test_own_elements_give_the_same_files(self, reader: Format, samples: list[Sample]) -> None:
        """Identity: every byte of every file."""
        for sample in samples:
            made = Spliced(reader, sample)
            names = [name for group in made.replaceable() for name in group]
            assert names or not made.tensors, sample.main
            found = made.splice({name: made.arrays[name] for name in names})
            assert {path: whole(source) for path, source in found.items()} == dict(sample.files)

    def test_new_elements_are_where_they_belong(
        self, reader: Format, samples: list[Sample], tmp_path: Path
    ) -> None:
        """Our reader and the framework find the new elements in the changed tensors, the old ones in all others."""
        for number, sample in enumerate(samples):
            made, rng = Spliced(reader, sample), np.random.default_rng(number)
            for turn, share in enumerate((0.2, 0.6, 1.0)):
                news = some(made, rng, share, self.may_change)
                found = made.splice(news)
                expected = {**made.arrays, **news}
                same(made.read(found), expected, sample.main)
                folder = tmp_path / f"{number}-{turn}"
                self._ask(sample.main, found, folder, expected)

    def _ask(
        self, main: str, found: Mapping[str, Source], folder: Path, expected: Mapping[str, Array]
    ) -> None:
        files = {path: whole(source) for path, source in found.items()}
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)
        loaded = self.loaded(main, files, folder)
        known = loaded.keys() & expected.keys()
        assert known or not loaded, main
        same({name: loaded[name] for name in known}, {name: expected[name] for name in known}, main)

    def test_other_bytes_stay(self, reader: Format, samples: list[Sample]) -> None:
        """Where nothing moves, what differs lies in the changed tensors, but for few bytes of checksums."""
        for number, sample in enumerate(samples):
            made = Spliced(reader, sample)
            news = some(made, np.random.default_rng(number), 0.3)
            for path, source in made.splice(news).items():
                old, new = (np.frombuffer(data, np.uint8) for data in (sample.files[path], whole(source)))
                if len(old) != len(new):
                    continue
                differs = old != new
                for tensor in made.layout.tensors:
                    for extent in tensor.extents if tensor.name in news else ():
                        if (
                            Path(sample.main).parent / extent.path if extent.path else Path(sample.main)
                        ) == Path(path):
                            differs[extent.offset : extent.offset + extent.length] = False
                assert np.count_nonzero(differs) <= 16 * len(news) + 64, path

    def test_any_range_is_that_of_the_whole(self, reader: Format, samples: list[Sample]) -> None:
        """A Source of a spliced file can be read anywhere, in any order."""
        for number, sample in enumerate(samples):
            made, rng = Spliced(reader, sample), random.Random(number)
            found = made.splice(some(made, np.random.default_rng(number), 0.5))
            for source in found.values():
                data = whole(source)
                for _ in range(50):
                    first, second = sorted((rng.randint(0, len(data)), rng.randint(0, len(data))))
                    second = min(second, first + rng.choice((1, 7, 4096, 1 << 20)))
                    assert source.read(first, second - first) == data[first:second]

    def test_one_after_the_other_is_both_at_once(self, reader: Format, samples: list[Sample]) -> None:
        """Changes of different tensors commute, and add up to what they are together, as far as elements tell."""
        for number, sample in enumerate(samples):
            made, rng = Spliced(reader, sample), np.random.default_rng(number)
            both = some(made, rng, 1.0)
            groups = [group for group in made.replaceable() if group[0] in both]
            first = {name: both[name] for group in groups[::2] for name in group}
            rest = {name: both[name] for group in groups[1::2] for name in group}
            results = [made.read(made.splice(both))]
            for one, two in ((first, rest), (rest, first)):
                files = {path: whole(source) for path, source in made.splice(one).items()}
                results.append(made.read(Spliced(reader, Sample(files, sample.main)).splice(two)))
            same(results[1], results[0], sample.main)
            same(results[2], results[0], sample.main)

    def test_lies_are_spliced_or_refused(self, reader: Format, samples: list[Sample]) -> None:
        """Whatever the reader takes can be asked for refusals, and be spliced, or is refused; nothing else happens."""
        for number, sample in enumerate(samples):
            rng = random.Random(number)
            for _ in range(self.fixed_lies):
                try_lie(reader, sample, rng)

    def test_what_is_refused_is_told_with_its_reason(self, reader: Format, samples: list[Sample]) -> None:
        """Nothing is refused that is not listed here."""
        told: dict[str, str] = {}
        for sample in samples:
            made = Spliced(reader, sample)
            told |= refusals(sample.main, made.layout, made.folder, list(made.tensors))
        assert sorted(told) == sorted(self.refused)
        for name, part in self.refused.items():
            assert part in told[name], name


def try_lie(reader: Format, sample: Sample, rng: random.Random) -> bool:
    """Splice a mutated sample's own elements; tell whether that gave files."""
    data = mutate(sample.files[sample.main], rng)
    try:
        made = Spliced(reader, Sample({**sample.files, sample.main: data}, sample.main))
        names = [name for group in made.replaceable() for name in group]
        found = made.splice({name: made.arrays[name] for name in names})
        for source in found.values():
            whole(source)
    except (Malformed, Refused):
        return False
    return True


def whole(source: Source) -> bytes:
    """Everything, read in pieces of an odd size."""
    step = 99_991
    return b"".join(source.read(at, min(step, source.size - at)) for at in range(0, source.size, step))


def some(
    made: Spliced, rng: np.random.Generator, share: float, may_change: Callable[[Tensor], bool] = bool
) -> dict[str, Array]:
    """New elements for about ``share`` of the tensors; those that are one by several names get the same."""
    found: dict[str, Array] = {}
    groups = [group for group in made.replaceable() if all(may_change(made.tensors[name]) for name in group)]
    taken = [group for group in groups if rng.random() < share] or groups[:1]
    for group in taken:
        kinds = {_geometry(made.tensors[name]) for name in group}
        if len(kinds) == 1 and not _repeats(made.tensors[group[0]]):
            new = elements(made.tensors[group[0]], made.arrays[group[0]], rng)
            found |= dict.fromkeys(group, new)
    return found


def elements(tensor: Tensor, like: Array, rng: np.random.Generator) -> Array:
    """Any elements that ``tensor`` can have."""
    if "." in tensor.dtype:
        return rng.integers(0, 256, like.size, np.uint8)
    dtype, shape = dtype_of(tensor.dtype), tensor.shape
    if dtype.kind == "b":
        return rng.integers(0, 2, shape).astype(bool)
    if tensor.dtype in BITS and not tensor.dtype.startswith(("int", "uint")):
        return rng.integers(0, 1 << BITS[tensor.dtype], shape, np.uint8).view(dtype)
    if dtype.kind in "iu" or tensor.dtype in BITS:
        limits = ml_dtypes.iinfo(dtype)
        low, high = int(limits.min), int(limits.max)
        wide = rng.integers(low, high, shape, np.int64 if low else np.uint64, endpoint=True)
        narrow = rng.integers(max(low, -100), min(high, 100), shape, np.int64, endpoint=True)
        return np.where(rng.random(shape) < 0.5, narrow.astype(wide.dtype), wide).astype(dtype)
    drawn = rng.normal(size=shape) + (1j * rng.normal(size=shape) if dtype.kind == "c" else 0)
    with np.errstate(invalid="ignore"):
        return np.asarray(drawn * 10.0 ** rng.integers(-2, 2, shape)).astype(dtype)


def same(found: Mapping[str, Array], expected: Mapping[str, Array], what: str) -> None:
    """Fail unless both have the same arrays, bit for bit (a NaN in a text is one like another)."""
    assert sorted(found) == sorted(expected), what
    for name, array in expected.items():
        other = found[name]
        assert (other.shape, other.dtype) == (array.shape, array.dtype), (what, name)
        assert other.tobytes() == array.tobytes(), (what, name)


def _geometry(tensor: Tensor) -> str:
    return repr((tensor.dtype, tensor.shape, tensor.extents, tensor.encoding, tensor.args))


def _repeats(tensor: Tensor) -> bool:
    args: Mapping[str, Iterable[int]] = tensor.args.get("args", tensor.args)
    strides = zip(tensor.shape, args.get("strides", ()), strict=False)
    return any(extent > 1 and stride == 0 for extent, stride in strides)


def _tied(one: Tensor, two: Tensor) -> bool:
    """Whether bytes of both overlap, or what they are packed in does."""
    if _geometry(one) == _geometry(two):
        return bool(one.extents)
    if "deflated" in {one.encoding, two.encoding}:
        spans = [
            range(t.args.get("start", 0), t.args.get("start", 0) + t.args.get("length", 0))
            for t in (one, two)
        ]
        return (
            one.extents == two.extents and spans[0].start < spans[1].stop and spans[1].start < spans[0].stop
        )
    return any(
        a.path == b.path and a.offset < b.offset + b.length and b.offset < a.offset + a.length
        for a in one.extents
        for b in two.extents
    )
