"""How this process keeps its memory. Only for the program: a library must not decide that for its host."""

from __future__ import annotations

import ctypes
import gc
import os
from contextlib import suppress

_TRIM_THRESHOLD, _MMAP_THRESHOLD, _ARENAS = -1, -3, -8
"""Parameters of mallopt in glibc's malloc.h."""


def keep_freed_memory() -> None:
    """Let the C library keep what is freed, up to 64 MiB.

    Blocks come and go by the megabyte. By default each is fetched from the system and given back, which costs a page
    fault for every 4 KiB: a sixth of a save. No other C library needs it, or has it.
    """
    with suppress(ValueError, OSError, AttributeError):  # not glibc
        if os.confstr("CS_GNU_LIBC_VERSION"):
            library = ctypes.CDLL(None)
            library.mallopt(_MMAP_THRESHOLD, 32 << 20)
            library.mallopt(_TRIM_THRESHOLD, 64 << 20)
            library.mallopt(_ARENAS, 1)


def collect_seldom() -> None:
    """Look for cycles of objects seldom: one command makes few, and importing sets the collector off dozens of times.

    What is there already is never looked at again; called once more at the end, this spares the last look at all.
    """
    gc.freeze()
    gc.set_threshold(100_000, 20, 100)
