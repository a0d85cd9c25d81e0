"""One step as one process: its seconds from outside, its memory as the operating system counted it; and where."""

from __future__ import annotations

import os
import platform
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from peers import Step

KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR")


class Failed(Exception):
    """A step ended with an exit code other than 0."""


@dataclass(frozen=True)
class Measured:
    """Of one process and those that it waited for."""

    seconds: float
    flush: float
    """Seconds that ``sync`` took afterwards: what the process left to the operating system to write."""
    peak: int
    """Bytes: the largest resident set of any one process (at least what this process held when it started it)."""
    output: str


def environment(home: Path) -> dict[str, str]:
    """A user who has nothing configured but a name."""
    known = {name: os.environ[name] for name in KEPT if name in os.environ}
    ada = {"NAME": "Ada", "EMAIL": "ada@example.org"}
    git = {f"GIT_{who}_{key}": value for who in ("AUTHOR", "COMMITTER") for key, value in ada.items()}
    return known | git | {"HOME": str(home)}


def run(step: Step, home: Path) -> Measured:
    """Start it, wait for it, flush.

    Raises:
        Failed: with the end of what it printed.
    """
    variables = environment(home) | dict(step.variables)
    with tempfile.TemporaryFile() as output:
        started = time.perf_counter()
        process = subprocess.Popen(
            step.argv,
            cwd=step.folder,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        said = output.read().decode(errors="replace").strip()
    if process.returncode:
        raise Failed(f"exit code {process.returncode}: {said[-300:] or 'nothing printed'}")
    started = time.perf_counter()
    os.sync()
    unit = 1 if os.uname().sysname == "Darwin" else 1024
    return Measured(seconds, time.perf_counter() - started, usage.ru_maxrss * unit, said)


def forget(folder: Path) -> None:
    """Drop every file of ``folder`` from the page cache (Linux; they must have been flushed)."""
    for parent, _, names in os.walk(folder):
        for name in names:
            place = Path(parent) / name
            if place.is_symlink() or not place.is_file():
                continue
            opened = os.open(place, os.O_RDONLY)
            try:
                os.posix_fadvise(opened, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(opened)


def machine() -> dict[str, Any]:
    """Where this was measured."""
    model = ""
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "processor": model or platform.processor(),
        "processors": os.cpu_count(),
        "memory": memory,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }
