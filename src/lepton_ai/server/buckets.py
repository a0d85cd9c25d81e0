"""Token buckets: how often each may ask."""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

import msgspec

MOST = 20_000
"""Callers that are remembered; the one that asked longest ago is forgotten first, and starts full again."""


class Share(msgspec.Struct, frozen=True):
    """What is left to somebody: requests, of ``most``; ``wait`` seconds until the next is welcome (0: now)."""

    most: int
    left: int
    wait: float

    def headers(self, name: str, rate: float) -> dict[str, str]:
        """RateLimit headers (draft-ietf-httpapi-ratelimit-headers), and Retry-After when nothing is left."""
        window = max(1, math.ceil(self.most / rate))
        told = {
            "RateLimit-Policy": f'"{name}";q={self.most};w={window}',
            "RateLimit": f'"{name}";r={self.left};t={math.ceil(self.wait)}',
        }
        return told | {"Retry-After": str(max(1, math.ceil(self.wait)))} if self.wait else told


class Buckets:
    """A bucket for each key: it holds ``burst``, and ``rate`` per second flow in. In this process alone."""

    def __init__(
        self, name: str, rate: float, burst: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.name = name
        self.rate = rate
        self.burst = burst
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: str, amount: float = 1.0) -> Share:
        """Take ``amount`` from the bucket of ``key``; nothing is taken when it does not hold as much.

        ``amount`` 0 only looks whether there is room for one more.
        """
        with self._lock:
            now = self._clock()
            level, at = self._levels.pop(key, (float(self.burst), now))
            level = min(float(self.burst), level + (now - at) * self.rate)
            needed = amount or 1.0
            wait = max(0.0, (needed - level) / self.rate)
            if not wait:
                level -= amount
            self._levels[key] = (level, now)
            if len(self._levels) > MOST:
                self._levels.popitem(last=False)
            return Share(self.burst, int(level), wait)
