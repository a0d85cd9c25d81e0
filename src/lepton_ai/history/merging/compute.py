"""The elements of the tensors that a method merges: a part at a time, on all cores, into a private file."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import msgspec

from lepton_ai.errors import StorageFailed
from lepton_ai.formats.contract import PartSource, Source, check_range
from lepton_ai.history.elements import Elements
from lepton_ai.history.merges.registry import method as method_called
from lepton_ai.history.merging.carriers import Carrier
from lepton_ai.history.merging.given_arrays import array
from lepton_ai.history.merging.introduced import Introduced, introduced
from lepton_ai.history.merging.tensors import Fate, case_of
from lepton_ai.history.merging.virtual import ElementsSource, rounded
from lepton_ai.history.side_by_side import parts
from lepton_ai.progress import Progress
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.pipeline import WORKERS, Pool

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Floats

STRETCH = 1 << 20
"""Elements that a thread computes at a time: 4 MB of float32."""

WINDOW = 1 << 20
"""Elements of a parent that are converted at a time, and kept while methods walk over them in small steps."""
KEPT = WORKERS + 2
ROOM = 160 << 20
"""Bytes of a tensor's parents that are kept in memory together, while methods need them again."""


class Scratch:
    """A private file for computed elements, one tensor behind the other.

    It has no name: its weights are gone with the process, however that ends.
    """

    def __init__(self, folder: Path) -> None:
        self._place = folder / "computed"
        with storage_errors(self._place):
            self._file: BinaryIO = self._place.open("x+b")
            self._place.unlink()
        self.size = 0

    def take(self, portions: Iterator[bytes]) -> tuple[int, int]:
        """Write one tensor; where it is: offset and length in bytes."""
        start = self.size
        for portion in portions:
            with storage_errors(self._place):
                self._file.write(portion)
            self.size += len(portion)
        return start, self.size - start

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset`` of what was written and given out."""
        check_range(offset, length, self.size)
        parts = []
        while length:
            with storage_errors(self._place):
                part = os.pread(self._file.fileno(), length, offset)
            if not part:
                raise StorageFailed(
                    "what was computed is cut short", hint="check the disk, then repeat the merge"
                )
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def source(self, place: tuple[int, int]) -> Source:
        """What was written, for reading."""
        with storage_errors(self._place):
            self._file.flush()
        return PartSource(self, *place)

    def close(self) -> None:
        """Let go of the file, which is gone with that."""
        self._file.close()


class Windows:
    """Tensors of one size, read together a window at a time: what one block is a difference to is decoded once for all.

    Methods walk over a tensor several times. Windows that were read are kept as they are stored, up to ``room`` bytes,
    because reading them again is what takes long: blocks are opened, decoded and checked.
    """

    def __init__(self, sides: Sequence[Elements], room: int) -> None:
        self._sides, self.size = sides, sides[0].size
        width = sum(side.dtype.itemsize for side in sides)
        self._most = max(KEPT, room // (WINDOW * width))
        self._windows: dict[int, Future[list[Any]]] = {}
        self._lock = threading.Lock()

    def window(self, number: int) -> list[Any]:
        """Window ``number`` of each. One thread reads it; others that want it wait, not those that want another."""
        with self._lock:
            found = self._windows.pop(number, None)
            reads = found is None
            found = found or Future()
            while len(self._windows) >= self._most:
                del self._windows[next(iter(self._windows))]
            self._windows[number] = found
        if reads:
            start = number * WINDOW
            try:
                found.set_result(parts(self._sides, start, min(start + WINDOW, self.size)))
            except BaseException as problem:
                found.set_exception(problem)
                raise
        return found.result()


class Walked:
    """A parent of a case: the elements of one of the ``windows``' tensors as floats."""

    def __init__(self, elements: Elements, windows: Windows, number: int, kind: Any) -> None:
        self._elements, self._windows, self._number, self._kind = elements, windows, number, kind
        self.shape, self.size = elements.shape, elements.size

    def part(self, start: int, stop: int) -> Floats:
        """The elements ``start … stop``, flat."""
        import numpy as np

        if stop - start >= WINDOW * KEPT:
            stored = self._elements.part(start, stop)
        else:
            first, last = start // WINDOW, max(start, stop - 1) // WINDOW
            windows = [self._windows.window(at)[self._number] for at in range(first, last + 1)]
            whole = windows[0] if len(windows) == 1 else np.concatenate(windows)
            stored = whole[start - first * WINDOW : stop - first * WINDOW]
        part: Floats = stored.astype(self._kind, copy=False)
        part.flags.writeable = False
        return part


def _walked(together: Sequence[Elements], others: Sequence[Elements], kind: Any) -> dict[int, Walked]:
    """Parents by the identity of their elements; those that a method walks over side by side are read together."""
    room = ROOM // (len(together) + len(others))
    groups = [together, *([one] for one in others)]
    return {
        id(one): Walked(one, windows, number, kind)
        for group, windows in ((group, Windows(group, room * len(group))) for group in groups)
        for number, one in enumerate(group)
    }


Portion = tuple[bytes, Introduced]
"""Elements as they are stored, and what they bring in."""


class News(msgspec.Struct, frozen=True):
    """The new elements of a file's tensors, by their names in it; what they bring in, by their addresses."""

    sources: dict[str, Source]
    introduced: dict[str, Introduced]


def news(carrier: Carrier, asked_seed: int, scratch: Scratch, progress: Progress) -> News:
    """The new elements of every tensor of the carrier's file that changes.

    Advances ``progress`` by the bytes of the tensors that are computed.
    """
    places: dict[str, tuple[int, int]] = {}
    found = News({}, {})
    for name, fate in carrier.changes.items():
        mine = fate.slot.models[carrier.number]
        if mine is None:
            raise ValueError(f"{name} changes in a file that lacks it")
        if fate.computed(mine):
            portions = _computed(fate, mine, asked_seed, carrier)
            places[name] = scratch.take(_counted(portions, fate.address, found.introduced, progress))
        else:
            found.sources[name] = ElementsSource(_again(fate, carrier), mine.dtype)
    found.sources.update((name, scratch.source(place)) for name, place in places.items())
    return found


def _counted(
    portions: Iterable[Portion], address: str, introduced: dict[str, Introduced], progress: Progress
) -> Iterator[bytes]:
    """The elements; what they bring in is told when all of them were taken."""
    total = Introduced()
    for data, new in portions:
        total = total.joined(new)
        progress.advance(len(data))
        yield data
    if any(total):
        introduced[address] = total


def _again(fate: Fate, carrier: Carrier) -> Elements:
    """The tensor that is taken, counted as one that only passes through."""
    taken = fate.result
    if taken is None:
        raise ValueError(f"{fate.address} is taken from nowhere")
    return carrier.models[fate.taken].passing[taken.address]


def _computed(fate: Fate, mine: Elements, seed: int, carrier: Carrier) -> Iterator[Portion]:
    """The merged elements in the type of ``mine``, in order."""
    part = _elements(fate, mine, seed, carrier)
    models = [one for one in fate.slot.models if one is not None]

    def work(stretch: tuple[int, int]) -> Portion:
        data = rounded(part(*stretch), mine.dtype)
        return data, introduced(data, mine, models, stretch[0])

    with Pool() as pool:
        yield from pool.map(work, _stretches(mine.size))


def _elements(fate: Fate, mine: Elements, seed: int, carrier: Carrier) -> Callable[[int, int], Any]:
    """What gives any part of the merged elements, in the type in which they are computed, or were taken or given."""
    import numpy as np

    if fate.given is not None:
        given = array(carrier.side.reader.attachment(fate.given), fate.address).reshape(-1)
        return lambda start, stop: given[start:stop]
    pick = fate.pick
    if pick is None:
        return _again(fate, carrier).part
    method = method_called(pick.method)
    there = [one for one in fate.slot.everywhere if one is not None]
    if method.takes:  # only the base's elements come this way: bits, not numbers
        return next(one for one in fate.slot.bases if one is not None).part
    wide = any(one.tensor.dtype == "float64" for one in there)
    kind = np.dtype(np.float64 if wide else np.float32)
    base = next((one for one in fate.slot.bases if one is not None), None) if method.needs_base else None
    together = [one for one in (*fate.slot.models, base) if one is not None and one.size == mine.size]
    others = [one for one in there if all(one is not each for each in together)]
    others += [one for some in fate.slot.aids.values() for one in some]
    held = _walked(together, others, kind)
    return method.prepare(case_of(fate.address, fate.slot, pick, seed, held, wide=wide))


def _stretches(size: int) -> Iterator[tuple[int, int]]:
    return ((start, min(start + STRETCH, size)) for start in range(0, size, STRETCH))
