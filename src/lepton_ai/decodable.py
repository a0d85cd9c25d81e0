"""A type is worked out for msgspec by one thread, before any other may decode it.

What msgspec learns about a struct when it first decodes one is seen half made by a thread that decodes the same struct
just then, and the process dies of a segmentation fault (0.22; a load test of a fresh server met it, and a client whose
threads bring several packs at once may). So everybody who decodes a type of ours says ``type=ready(Kind)``.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")
_LOCK = RLock()
_READY: set[Any] = set()


def ready(kind: T) -> T:
    """``kind``, which from now on any number of threads may decode."""
    if kind not in _READY:
        with _LOCK:
            msgspec.msgpack.Decoder(kind)
            _READY.add(kind)
    return kind
