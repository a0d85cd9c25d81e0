"""How the tests start the driver's processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
DRIVER = ["-m", "tests.history.refs.driver"]


def drive(scenario: str, *words: object, within: float = 120) -> dict[str, Any]:
    """Run a scenario to its end and give what it saw."""
    command = [sys.executable, *DRIVER, scenario, *map(str, words)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=within, check=False)
    assert done.returncode == 0, done.stderr
    seen: dict[str, Any] = json.loads(done.stdout)
    seen["stderr"] = done.stderr
    return seen


@contextmanager
def driving(scenario: str, *words: object) -> Iterator[subprocess.Popen[str]]:
    """A scenario that goes on (``held``) for as long as the block takes."""
    command = [sys.executable, *DRIVER, scenario, *map(str, words)]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.communicate(timeout=30)
