"""Where each element of a tensor lies: a start, and a step in bytes for each dimension."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from lepton_ai.formats.contract import Tensor
from lepton_ai.formats.encodings.dtypes import ITEMSIZE


class Run(NamedTuple):
    """``times`` elements from the one with this number (in C order), ``step`` bytes from each to the next."""

    number: int
    position: int
    times: int
    step: int


class Places(NamedTuple):
    """The element with the coordinates x begins at ``start`` + Σ x·``steps``, and takes ``width`` bytes.

    ``swapped`` bytes each stand in reverse order (0: none do). Dimensions of one element are left out, and those that
    follow each other without a gap are one.
    """

    start: int
    shape: tuple[int, ...]
    steps: tuple[int, ...]
    width: int
    swapped: int = 0

    @property
    def end(self) -> int:
        """Behind the last byte of the last element."""
        pairs = zip(self.shape, self.steps, strict=True)
        return self.start + sum((extent - 1) * step for extent, step in pairs) + self.width

    @property
    def dense(self) -> bool:
        """Whether the elements follow each other in order, without gaps."""
        return not self.shape or (len(self.shape) == 1 and self.steps[0] == self.width)

    @property
    def apart(self) -> bool:
        """Whether surely no two elements share a byte."""
        reach = self.width
        for step, extent in sorted(zip(self.steps, self.shape, strict=True)):
            if step < reach:
                return False
            reach += step * (extent - 1)
        return True

    def runs(self, low: int, high: int) -> Iterator[Run]:
        """The elements that lie wholly within the bytes ``low … high``, in C order."""
        return self._runs(0, 0, self.start, low, high)

    def _runs(self, axis: int, number: int, position: int, low: int, high: int) -> Iterator[Run]:
        if axis == len(self.shape):
            if low <= position and position + self.width <= high:
                yield Run(number, position, 1, self.width)
            return
        inner = zip(self.shape[axis + 1 :], self.steps[axis + 1 :], strict=True)
        reach, extent, step = sum((e - 1) * s for e, s in inner), self.shape[axis], self.steps[axis]
        last = axis == len(self.shape) - 1
        first, stop = 0, extent
        if step:
            first = max(0, -(-(low - position - reach) // step))
            stop = min(extent, (high - self.width - position) // step + 1)
        elif position + self.width > high or position + reach < low:
            return
        if last:
            if stop > first:
                yield Run(number * extent + first, position + first * step, stop - first, step)
            return
        for place in range(first, stop):
            yield from self._runs(axis + 1, number * extent + place, position + place * step, low, high)


def places_of(tensor: Tensor, start: int) -> Places:
    """Those of a "raw" (not packed) or "strided" tensor that has elements, whose bytes begin at ``start``."""
    own, args, shape = "." in tensor.dtype, tensor.args, tensor.shape
    if own and tensor.encoding == "raw":  # a format's own type: its bytes as they are
        return Places(start, (tensor.nbytes,), (1,), 1)
    width = int(args["itemsize"]) if own else ITEMSIZE.get(tensor.dtype, 1)
    swapped = 0
    if args.get("byteorder") == "big" and width > 1 and not own:
        swapped = width // 2 if tensor.dtype.startswith("complex") else width
    step, steps = width, []
    if tensor.encoding == "strided":
        steps = [stride * width for stride in args["strides"]]
    else:
        if "tag" in args:
            start, step = start + 1, width + 1
        for extent in shape if args.get("order") == "F" else reversed(shape):
            steps.append(step)
            step *= extent
        if args.get("order") != "F":
            steps.reverse()
    return Places(start, *_joined(shape, steps), width, swapped)


def _joined(shape: tuple[int, ...], steps: list[int]) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The same places with as few dimensions as possible."""
    joined: list[tuple[int, int]] = []
    for extent, step in zip(shape, steps, strict=True):
        if extent == 1:
            continue
        if joined and joined[-1][1] == extent * step:
            joined[-1] = (joined[-1][0] * extent, step)
        else:
            joined.append((extent, step))
    return tuple(extent for extent, _ in joined), tuple(step for _, step in joined)
