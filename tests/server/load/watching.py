"""What processes hold, looked at from outside: memory of their own, open files, threads."""

from __future__ import annotations

import os
import statistics
import threading
from pathlib import Path

import msgspec

EVERY = 1.0
"""Seconds between two looks."""


TICKS = os.sysconf("SC_CLK_TCK")


class Seen(msgspec.Struct, frozen=True):
    """A look: bytes that no file backs (``RssAnon``), open descriptors, threads, seconds of computing so far."""

    anonymous: int
    descriptors: int
    threads: int
    computed: float


class Watch:
    """Looks at processes until the block ends; one that dies meanwhile is an error of the reader of ``seen``."""

    def __init__(self, processes: list[int]) -> None:
        self.seen: dict[int, list[Seen]] = {process: [] for process in processes}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(EVERY):
            for process, looks in self.seen.items():
                if (found := look(process)) is not None:
                    looks.append(found)


def look(process: int) -> Seen | None:
    """What a process holds now; None when it is gone."""
    place = Path(f"/proc/{process}")
    try:
        lines = dict(line.split(":", 1) for line in (place / "status").read_text().splitlines())
        anonymous = int(lines["RssAnon"].split()[0]) * 1024
        descriptors = sum(1 for _ in (place / "fd").iterdir())
        user, system = (place / "stat").read_text().rpartition(")")[2].split()[11:13]
        return Seen(anonymous, descriptors, int(lines["Threads"]), (int(user) + int(system)) / TICKS)
    except (FileNotFoundError, ProcessLookupError):
        return None


def machine() -> tuple[float, float]:
    """Seconds that all processors of this machine computed, and that they had, since it started."""
    told = [int(word) / TICKS for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(told) - told[3] - told[4], sum(told)


def middle(looks: list[Seen], name: str) -> float:
    """The median of one of the numbers."""
    return float(statistics.median(getattr(each, name) for each in looks))


def workers_of(process: int) -> list[int]:
    """The processes that do a server's work: started by ``process``, and no helper of Python's."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
            command = (place / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if parent == process and b"spawn_main" in command:
            found.append(int(place.name))
    return found
