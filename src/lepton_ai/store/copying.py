"""Copying objects into new packs as they are stored; each object's seal is checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from lepton_ai.store.contract import Blobs, PackInfo
from lepton_ai.store.index import Place
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.packs.writer import Row
from lepton_ai.store.publish import publish
from lepton_ai.store.reader import Reader


class Packing:
    """New packs under way: blocks that a later save makes needless (*heads*) apart from what stays.

    Leaving it without :meth:`finish` leaves nothing.
    """

    def __init__(self, reader: Reader, blobs: Blobs, temporary: Path) -> None:
        self._reader, self._blobs = reader, blobs
        self._heads, self._others = Row(temporary, head=True), Row(temporary, head=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pack in (*self._heads.packs, *self._others.packs):
            pack.discard()

    def append(self, header: bytes, body: Iterable[bytes], *, head: bool) -> None:
        """Take an object."""
        full = (self._heads if head else self._others).append(header, *body)
        if full is not None:
            full.close()

    def copy(self, places: Iterable[Place], is_head: Callable[[Place], bool]) -> None:
        """Take stored objects, in this order.

        Raises:
            Damaged: one of them is not what was stored.
        """
        for place in places:
            data = self._blobs.get(blob_name(place.pack), place.offset, place.length)
            header, _ = self._reader.unseal(place, memoryview(data))
            size = header.header_size
            self.append(data[:size], [data[size:]], head=is_head(place))

    def finish(self) -> list[PackInfo]:
        """Make all durable and visible."""
        return publish(self._heads.packs, self._blobs, self._reader.index, then=self._others.packs)
