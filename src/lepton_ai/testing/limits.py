"""What work may take: seconds of the processor, and bytes of memory, watched while it runs."""

from __future__ import annotations

import resource
import signal
import sys
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

STATUS = Path("/proc/self/status")


@dataclass(frozen=True)
class Limits:
    """What a case may take.

    ``seconds`` of the processor's for each begun 256 KiB (None: as many as it likes), and bytes: ``times`` the size
    of the files and ``spare``. Bytes are counted exactly while tracemalloc is tracing, which makes everything eight
    times as slow; else it is what the process's largest resident size grows by.
    """

    seconds: float | None = 1.0
    times: int = 8
    spare: int = 64 << 20


class Broken(Exception):
    """A reader or decoder broke a promise; the message says which."""


class TooSlow(BaseException):
    """Time is over. Not an Exception, so that nobody on the way takes it for one of theirs."""


class Meter:
    """What a piece of work may take, and took."""

    def __init__(self, allowed: int) -> None:
        self.allowed, self.peak = allowed, 0


@contextmanager
def memory(limits: Limits, size: int) -> Iterator[Meter]:
    """Measure what is allocated at most, and hold it against the limits."""
    meter = Meter(limits.times * size + limits.spare)
    traced = tracemalloc.is_tracing()
    if traced:
        tracemalloc.reset_peak()
    before = tracemalloc.get_traced_memory()[0] if traced else _most_resident()
    try:
        yield meter
    finally:
        meter.peak = (tracemalloc.get_traced_memory()[1] if traced else _most_resident()) - before
        if meter.peak > meter.allowed:  # whether it was refused in the end or not
            raise Broken(f"it takes {meter.peak} bytes of memory for a file of {size}")


def _most_resident() -> int:
    """The most bytes of memory that this process ever had."""
    if STATUS.exists():  # getrusage of Linux begins with what the parent had
        return 1024 * int(STATUS.read_text().partition("VmHWM:")[2].split()[0])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024


@contextmanager
def clock(seconds: float | None) -> Iterator[None]:
    """Interrupt work that takes too long. Counted is the processor's time: the machine may be busy."""
    if seconds is None:
        yield
        return
    before = signal.signal(signal.SIGPROF, _ring)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)


def _ring(_: int, __: FrameType | None) -> None:
    raise TooSlow
