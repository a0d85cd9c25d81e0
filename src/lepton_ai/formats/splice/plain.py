"""Bytes in which nothing depends on the elements: they are replaced where they lie.

Tensors may share bytes (tied weights, views of one storage). Then all that share must change, and agree: one that
would change unasked, or not get what it was given, is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence

import msgspec

from lepton_ai.formats.contract import Extent, Source, Tensor, check_range
from lepton_ai.formats.splice.contract import Edit, Refused
from lepton_ai.formats.splice.layers import Laid, Layer, Spread, layer_of, meet
from lepton_ai.formats.splice.numbers import Blocks, Made, Texts, Varints

IN_PLACE = frozenset({"raw", "strided"})
RECODED: dict[str, Callable[[Source, Tensor, Source], Blocks]] = {"varint": Varints, "text": Texts}
PIECE = 1 << 20


class Plain:
    """The plan for files without checksums.

    Raises:
        Malformed: a tensor lies outside of the bytes.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        self._source = source
        self._tensors = {tensor.name: tensor for tensor in tensors if tensor.name in changed}
        for tensor in self._tensors.values():
            for extent in tensor.extents:
                check_range(extent.offset, extent.length, source.size)
        self.refused: dict[str, str] = {}
        for tensor in self._tensors.values():
            known = tensor.encoding in IN_PLACE or tensor.encoding in RECODED
            if not known or len(tensor.extents) > 1:
                self.refused[tensor.name] = (
                    f"is written as {tensor.encoding!r} in {len(tensor.extents)} pieces, which cannot be written"
                )
        self.refused |= sharing(tensors, changed)

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """One for each run of bytes that belong together."""
        found = []
        for group in _groups(self._tensors[name] for name, new in news.items() if new.size):
            if group[0].encoding in RECODED:
                found.append(self._recoded(group, news))
            else:
                found.append(self._laid(group, news))
        return found

    def _recoded(self, group: list[Tensor], news: Mapping[str, Source]) -> Edit:
        """One tensor, by all its names."""
        first, (extent,) = group[0], group[0].extents
        for number, tensor in enumerate(group):
            if not equal(news[first.name], news[tensor.name]):
                raise Refused({tensor.name: _contradicts(group, number)})
        blocks = RECODED[first.encoding](self._source, first, news[first.name])
        return Edit(extent.offset, extent.length, Made(blocks))

    def _laid(self, group: list[Tensor], news: Mapping[str, Source]) -> Edit:
        layers = [layer_of(tensor) for tensor in group]
        first = layers[0]
        alone = len(group) == 1 and isinstance(first, Spread)
        if alone and isinstance(first, Spread) and first.places.dense and not first.places.swapped:
            return Edit(first.places.start, first.places.end - first.places.start, news[group[0].name])
        pairs = [(layer, news[tensor.name]) for layer, tensor in zip(layers, group, strict=True)]
        laid = Laid(self._source, pairs)
        apart = isinstance(first, Spread) and first.places.apart
        if len(group) > 1 or (isinstance(first, Spread) and not apart):
            number = laid.differing()
            if number is not None:
                raise Refused({group[number].name: _contradicts(group, number)})
        return Edit(laid.start, laid.size, laid)


def _contradicts(group: list[Tensor], number: int) -> str:
    others = [repr(tensor.name) for place, tensor in enumerate(group) if place != number]
    if not others:
        return "repeats its elements in the file, and was given different ones for the same place"
    return f"shares its bytes with {', '.join(others[:3])}, which would become something else there"


def sharing(tensors: Iterable[Tensor], changed: Collection[str]) -> dict[str, str]:
    """Refusals of changed tensors that share bytes with one that does not change, or that is written otherwise."""
    reasons: dict[str, str] = {}
    open_: list[tuple[Extent, Tensor]] = []
    runs = [(extent, tensor) for tensor in tensors for extent in tensor.extents if extent.length]
    for extent, tensor in sorted(runs, key=lambda run: (run[0].offset, run[0].length)):
        open_ = [one for one in open_ if one[0].offset + one[0].length > extent.offset]
        for _, other in open_:
            for one, two in ((tensor, other), (other, tensor)):
                if one.name in changed and one.name not in reasons and (why := _clash(one, two, changed)):
                    reasons[one.name] = why
        open_.append((extent, tensor))
    return reasons


def _clash(tensor: Tensor, other: Tensor, changed: Collection[str]) -> str:
    """Why ``tensor`` cannot change beside ``other``, whose bytes lie among its own; empty: it can."""
    if tensor.name == other.name:
        return "lies twice in the same bytes"
    if other.name in changed:
        if {tensor.encoding, other.encoding} <= IN_PLACE or _same(tensor, other):
            return ""
        return f"shares its bytes with {other.name!r}, which is written in another way"
    layers = _layer(tensor), _layer(other)
    if layers[0] and layers[1] and not meet(layers[0], layers[1]):
        return ""
    return f"shares its bytes with {other.name!r}, which is to stay as it is: change both or neither"


def _same(tensor: Tensor, other: Tensor) -> bool:
    """Whether one tensor has two names."""
    return msgspec.structs.replace(tensor, name=other.name) == other


def _layer(tensor: Tensor) -> Layer | None:
    return layer_of(tensor) if tensor.encoding in IN_PLACE and len(tensor.extents) == 1 else None


def _groups(tensors: Iterable[Tensor]) -> Iterator[list[Tensor]]:
    """Tensors whose bytes lie among each other's."""
    group: list[Tensor] = []
    end = -1
    for tensor in sorted(tensors, key=lambda tensor: tensor.extents[0].offset):
        (extent,) = tensor.extents
        if group and extent.offset >= end:
            yield group
            group = []
        group.append(tensor)
        end = max(end, extent.offset + extent.length) if len(group) > 1 else extent.offset + extent.length
    if group:
        yield group


def equal(one: Source, two: Source) -> bool:
    """Whether both have the same bytes."""
    if one is two or one.size != two.size:
        return one is two
    return all(
        one.read(at, min(PIECE, one.size - at)) == two.read(at, min(PIECE, one.size - at))
        for at in range(0, one.size, PIECE)
    )
