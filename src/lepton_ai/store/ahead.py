"""Older blocks, looked up before they are needed: hundreds with one query, while others are coded."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from lepton_ai.store.contract import OPAQUE
from lepton_ai.store.index import Index, Place
from lepton_ai.store.pairing import Pairing
from lepton_ai.store.routes import Routes, heights

WINDOW = 512
"""Blocks that are looked up together."""


class Known(NamedTuple):
    """Of older blocks: the way on which each is read, where there is one, and the differences that stand on it."""

    ways: dict[bytes, list[Place] | None]
    heights: dict[bytes, int]


NOTHING = Known({}, {})


def look_up(index: Index, ids: Iterable[bytes], avoid: Collection[str], *, tall: bool) -> Known:
    """What the index says of older blocks; of their heights only if ``tall``."""
    routes, wanted = Routes(index, avoid, sound=True), list(dict.fromkeys(ids))
    routes.prepare(wanted)
    ways = {id_: routes.route(id_) for id_ in wanted}
    return Known(ways, heights(index, [id_ for id_ in wanted if ways[id_]]) if tall else {})


class Ahead:
    """The older blocks of a file's tensors, as the file is read from its beginning; for one thread.

    Blocks of opaque bytes are left to whoever needs them: where those lie only cutting tells.
    """

    def __init__(
        self,
        index: Index,
        avoid: Collection[str],
        pairing: Pairing,
        streams: Sequence[tuple[str, str, int]],
        *,
        tall: bool,
    ) -> None:
        self._index, self._avoid, self._pairing, self._tall = index, avoid, pairing, tall
        self._streams = streams
        self._reached = 0
        self._windows = [NOTHING, NOTHING]
        self._known = NOTHING

    def known(self, stream: int) -> Known:
        """What is known once the file is read up to the stream of this number."""
        while stream >= self._reached:
            ids: list[bytes] = []
            while self._reached < len(self._streams) and (stream >= self._reached or len(ids) < WINDOW):
                key, dtype, _ = self._streams[self._reached]
                partner = self._pairing.partner(key, dtype) if key != OPAQUE else None
                ids += partner.ids if partner is not None else []
                self._reached += 1
            # A group of blocks may begin in one window and end in the next.
            self._windows = [self._windows[1], look_up(self._index, ids, self._avoid, tall=self._tall)]
            before, now = self._windows
            self._known = Known({**before.ways, **now.ways}, {**before.heights, **now.heights})
        return self._known
