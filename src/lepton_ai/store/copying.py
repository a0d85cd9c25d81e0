"""Copying objects into new packs as they are stored; each object's seal is checked on the way."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from lepton_ai.store.contract import Blobs, PackInfo
from lepton_ai.store.index import Place
from lepton_ai.store.packs.format import blob_name
from lepton_ai.store.packs.writer import HEAD_PACK_SIZE, PACK_SIZE, PackWriter
from lepton_ai.store.publish import publish
from lepton_ai.store.reader import Reader


class Packing:
    """New packs under way: blocks that a later save makes needless (*heads*) apart from what stays.

    Leaving it without :meth:`finish` leaves nothing.
    """

    def __init__(self, reader: Reader, blobs: Blobs, temporary: Path) -> None:
        self._reader, self._blobs, self._temporary = reader, blobs, temporary
        self._packs: dict[bool, list[PackWriter]] = {True: [], False: []}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pack in (*self._packs[True], *self._packs[False]):
            pack.discard()

    def append(self, header: bytes, body: Iterable[bytes], *, head: bool) -> None:
        """Take an object."""
        packs = self._packs[head]
        if not packs or packs[-1].full:
            if packs:
                packs[-1].close()
            packs.append(PackWriter(self._temporary, HEAD_PACK_SIZE if head else PACK_SIZE))
        packs[-1].append(header, *body)

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
        return publish(self._packs[True], self._blobs, self._reader.index, then=self._packs[False])
