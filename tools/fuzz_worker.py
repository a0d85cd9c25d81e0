"""One process of tools/fuzz.py: reads cases FIRST … LAST-1 for one reader, writes a line of JSON for each.

Started under `coverage run`. What it dies of, the other side sees: it knows which case came next.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import traceback
from pathlib import Path

from lepton_ai.formats.detect import formats
from lepton_ai.testing.fuzzing import Broken, case, examine, samples_in, twists

MOST_MEMORY = 4 << 30
"""Of address space: a reader that wants more gets a MemoryError, not the machine's last byte."""

STUCK = 120
"""Seconds after which work that cannot be interrupted (inside of a C library) ends the process."""


def main(reader_name: str, seeds: str, seed: int, first: int, last: int) -> None:
    """Read the cases, one after the other."""
    if sys.platform.startswith("linux"):
        resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, MOST_MEMORY))
    faulthandler.enable()
    reader = next(reader for reader in formats() if reader.name == reader_name)
    samples = samples_in(Path(seeds) / reader_name, reader)
    for number in range(first, last):
        faulthandler.dump_traceback_later(STUCK, exit=True)
        files, name = case(reader_name, samples, seed, number)
        try:
            outcome = examine(reader, files, name, rng=twists(reader_name, seed, number))
        except Broken as broken:
            cause = traceback.extract_tb(broken.__cause__.__traceback__)[-1:] if broken.__cause__ else []
            place = "".join(f" ({Path(frame.filename).name}:{frame.lineno})" for frame in cause)
            tell({"number": number, "problem": f"{broken}{place}"})
        else:
            tell({"number": number, "understood": outcome.understood, "seconds": outcome.seconds,
                  "peak": outcome.peak})  # fmt: skip
    faulthandler.cancel_dump_traceback_later()


def tell(line: dict[str, object]) -> None:
    """Write a line at once."""
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
