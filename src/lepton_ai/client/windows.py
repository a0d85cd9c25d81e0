"""Portions of packs that came over the network, kept for what is asked for next: no byte should travel twice."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock

MOST = 64 << 20
"""Bytes of portions that are kept."""

WORTH = 4 << 10
"""Bytes that are worth asking around."""


class Windows:
    """Portions by the names of their packs and where they begin; those of the oldest pack are let go. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._portions: OrderedDict[str, dict[int, bytes]] = OrderedDict()
        self._kept = 0

    def find(self, name: str, offset: int, length: int) -> bytes | None:
        """The whole range, if one portion has it."""
        with self._lock:
            for start, data in self._portions.get(name, {}).items():
                if start <= offset and offset + length <= start + len(data):
                    return data[offset - start : offset - start + length]
        return None

    def parts(self, name: str, offset: int, end: int) -> list[tuple[int, int, bytes | None]]:
        """A range in parts, in order: from where to where, and the bytes if they are here."""
        with self._lock:
            portions = sorted(self._portions.get(name, {}).items())
        found: list[tuple[int, int, bytes | None]] = []
        for start, data in portions:
            first, last = max(offset, start), min(end, start + len(data))
            if last - first < min(WORTH, end - offset):
                continue
            if first > offset:
                found.append((offset, first, None))
            found.append((first, last, data[first - start : last - start]))
            offset = last
        if offset < end:
            found.append((offset, end, None))
        return found

    def keep(self, name: str, start: int, data: bytes) -> None:
        """Have a portion for later."""
        with self._lock:
            of_pack = self._portions.setdefault(name, {})
            self._kept += len(data) - len(of_pack.get(start, b""))
            of_pack[start] = data
            while self._kept > MOST:
                _, oldest = self._portions.popitem(last=False)
                self._kept -= sum(len(portion) for portion in oldest.values())
