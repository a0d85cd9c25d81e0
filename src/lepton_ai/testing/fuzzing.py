"""Give a reader hostile files, and hold what it does against what readers promise.

A case is a sample with lies in it, made from a seed and a number: the same two give the same bytes again. Only
Malformed may leave a reader or a decoder, in bounded time and memory, and whatever is understood keeps the contract.
The same holds for its architecture, and for giving a file its own elements once more, which Refused may leave, too.
"""

from __future__ import annotations

import posixpath
import random
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from lepton_ai.formats import architecture
from lepton_ai.formats.checks import clean_name
from lepton_ai.formats.contract import (
    MAX_DIMENSIONS,
    BytesSource,
    Format,
    Layout,
    Malformed,
    Segment,
    Source,
    Tensor,
    check_partition,
)
from lepton_ai.formats.encodings import decode
from lepton_ai.formats.splice import Refused, refusals, splice
from lepton_ai.testing.formats import Sample
from lepton_ai.testing.limits import Broken, Limits, TooSlow, clock, memory
from lepton_ai.testing.structure import mutate_folder
from lepton_ai.testing.structure.tensors import twist

__all__ = ["Broken", "Limits", "Outcome", "case", "check_layout", "examine", "samples_in", "twists"]

MOST_DECODED = 32 << 20
MOST_TENSORS = 500
"""Of each case so much is decoded."""

TWISTED = 0.2
"""So many of the tensors are also decoded by a description that does not fit them."""

WRITTEN = 0.1
"""So many of the files that are understood get their own elements once more."""

PIECE = 256 << 10

EXPANSION, FILLED = 1032, 64 << 20
"""Deflate makes at most so many bytes of one; and so much of an array may be a fill value."""


@dataclass(frozen=True)
class Outcome:
    """What became of a case: whether it was understood, else why it was refused; seconds and bytes it took."""

    understood: bool
    refusal: str
    seconds: float
    peak: int


def samples_in(folder: Path, reader: Format) -> list[Sample]:
    """The samples in a folder: each a file, or a folder of files of which the reader claims one."""
    found = []
    for path in sorted(folder.iterdir()):
        sample = Sample.of(path, {})
        claimed = [name for name, data in sample.files.items() if reader.claims(name, data[:4096])]
        if not claimed:
            raise ValueError(f"{reader.name} claims nothing in {path.name}")
        found.append(Sample(sample.files, claimed[0]))
    return found


def case(name: str, samples: Sequence[Sample], seed: int, number: int) -> tuple[dict[str, bytes], str]:
    """The files of case ``number`` for the reader ``name``, and which of them it is to read."""
    rng = random.Random(f"{seed} {name} {number}")
    sample = samples[number % len(samples)]
    return mutate_folder(name, sample.files, sample.main, rng), sample.main


def twists(name: str, seed: int, number: int) -> random.Random:
    """The generator for what :func:`examine` does with case ``number`` besides reading it."""
    return random.Random(f"{seed} {name} {number} twists")


def examine(
    reader: Format,
    files: Mapping[str, bytes],
    main: str,
    limits: Limits | None = None,
    rng: random.Random | None = None,
) -> Outcome:
    """Read and decode hostile files. With ``rng``, tensors are decoded by descriptions that do not fit them, too.

    Raises:
        Broken: something else than Malformed was raised, time or memory ran out, or the answer breaks the contract.
    """
    limits = limits or Limits()
    folder: dict[str, Source] = {path: BytesSource(data) for path, data in files.items()}
    size = sum(map(len, files.values()))
    begun, refusal = time.process_time(), ""
    seconds = limits.seconds and limits.seconds * (1 + size // PIECE)
    try:
        with clock(seconds):
            with memory(limits, size) as meter:
                reader.claims(main, files[main][:4096])
                layout = reader.layout(main, folder[main], folder)
                check_layout(layout, folder, main)
            with memory(limits, size) as asked:
                _ask_for_architecture(layout, folder[main])
            peak = max(meter.peak, asked.peak, _decode_all(layout, folder, main, limits, rng))
            if rng is not None and rng.random() < WRITTEN:
                _write_again(layout, folder, main, limits, size)
    except Malformed as error:
        refusal, peak = str(error) or "Malformed", meter.peak
    except TooSlow:
        raise Broken(f"it takes more than {seconds} s for {size} bytes") from None
    except Broken:
        raise
    except Exception as error:
        raise Broken(f"{type(error).__name__} leaves it: {str(error)[:200]}") from error
    return Outcome(not refusal, refusal, time.process_time() - begun, peak)


def _ask_for_architecture(layout: Layout, source: Source) -> None:
    read = architecture.READERS.get(layout.format)
    with suppress(Malformed):
        parts = read(source) if read else []
        "".join(text for part in parts for text in (part.name, part.kind, *part.attributes.values())).encode()


def _write_again(layout: Layout, folder: Mapping[str, Source], main: str, limits: Limits, size: int) -> None:
    """Give the file its own elements, of as many tensors as can be decoded; it may be refused."""
    news: dict[str, Source] = {}
    decoded = 0
    for tensor in layout.tensors[:MOST_TENSORS]:
        places = [folder[_beside(main, extent.path)] for extent in tensor.extents]
        parts = [source.read(e.offset, e.length) for source, e in zip(places, tensor.extents, strict=True)]
        with suppress(Malformed):
            news[tensor.name] = BytesSource(decode(tensor, parts).tobytes())
            decoded += news[tensor.name].size
        if decoded > MOST_DECODED:
            break
    with memory(limits, size + 2 * decoded), suppress(Malformed, Refused):
        for name in refusals(main, layout, folder, list(news)):
            news.pop(name, None)
        for path, source in splice(main, layout, folder, news).items():
            for at in range(0, source.size, PIECE):
                source.read(at, min(PIECE, source.size - at))
            if source.size > 2 * folder[path].size + EXPANSION:
                raise Broken(f"{path!r} of {folder[path].size} bytes becomes one of {source.size}")


def _decode_all(
    layout: Layout, folder: Mapping[str, Source], main: str, limits: Limits, rng: random.Random | None
) -> int:
    """Decode tensors, each by itself; the most bytes of memory that one took."""
    decoded = peak = 0
    for tensor in layout.tensors[:MOST_TENSORS]:
        places = [folder[_beside(main, extent.path)] for extent in tensor.extents]
        parts = [source.read(e.offset, e.length) for source, e in zip(places, tensor.extents, strict=True)]
        tensors = [(tensor, parts)]
        if rng is not None and rng.random() < TWISTED:
            tensors.append(twist(tensor, parts, rng))
        for described, pieces in tensors:
            nbytes, taken = _decode(described, pieces, limits)
            decoded, peak = decoded + nbytes, max(peak, taken)
        if decoded > MOST_DECODED:
            break
    return peak


def _decode(tensor: Tensor, parts: Sequence[bytes], limits: Limits) -> tuple[int, int]:
    """Bytes of the array, and of memory that it took to make it; Malformed gives no array."""
    stored = sum(map(len, parts))
    try:
        with memory(limits, stored) as meter:
            array = decode(tensor, parts)
            meter.allowed += 2 * array.nbytes
    except Malformed:
        return 0, meter.peak
    expected = array.shape if "." in tensor.dtype else tensor.shape
    if array.shape != expected or not isinstance(array, np.ndarray) or not array.flags.writeable:
        raise Broken(f"{tensor.name!r} of shape {tensor.shape} comes out as {array.shape}")
    if array.nbytes > FILLED + EXPANSION * stored:
        raise Broken(f"{tensor.name!r} makes {array.nbytes} bytes out of {stored}")
    return array.nbytes, meter.peak


def check_layout(layout: Layout, folder: Mapping[str, Source], main: str) -> None:
    """Hold an answer against the contract: the first law, names, extents, and that it can be stored.

    Raises:
        Broken: it is not kept.
    """
    names = [tensor.name for tensor in layout.tensors]
    if len(names) != len(set(names)):
        raise Broken("two tensors have the same name")
    for relative, segments in {"": layout.segments, **layout.companions}.items():
        path = _beside(main, relative)
        if path not in folder:
            raise Broken(f"a companion {relative!r} is not there")
        _check_segments(segments, folder[path].size, set(names))
    for tensor in layout.tensors:
        _check_tensor(tensor, folder, main)
    try:
        again = msgspec.msgpack.decode(msgspec.msgpack.encode(layout), type=Layout)
    except (ValueError, OverflowError, TypeError, msgspec.MsgspecError) as error:
        raise Broken(f"the answer cannot be stored: {error}") from error
    if again != layout:
        raise Broken("the answer is another one when it has been stored")


def _check_segments(segments: Sequence[Segment], size: int, names: set[str]) -> None:
    try:
        check_partition(segments, size)
    except Malformed as error:
        raise Broken(f"the first law is broken: {error}") from error
    called = [segment.tensor for segment in segments if segment.tensor is not None]
    if len(called) != len(set(called)):
        raise Broken("two segments have the same name")
    for name in called:
        if name not in names and name.rpartition("#")[0] not in names:
            raise Broken(f"a segment is called {name!r}, which is no tensor")


def _check_tensor(tensor: Tensor, folder: Mapping[str, Source], main: str) -> None:
    try:
        clean_name(tensor.name)
    except Malformed as error:
        raise Broken(f"a tensor has {error}") from error
    if len(tensor.shape) > MAX_DIMENSIONS or not all(
        type(n) is int and 0 <= n < 1 << 63 for n in tensor.shape
    ):
        raise Broken(f"{tensor.name!r} has the shape {tensor.shape}")
    for extent in tensor.extents:
        source = folder.get(_beside(main, extent.path))
        if (
            source is None
            or extent.offset < 0
            or extent.length < 0
            or extent.offset + extent.length > source.size
        ):
            raise Broken(f"{tensor.name!r} lies outside of the file")


def _beside(main: str, relative: str) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(main), relative)) if relative else main
