"""The linters are tests: one command tells whether a checkout is in order, and CI needs no second one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
BESIDE = Path(sys.executable).parent
COMMANDS = [
    ["ruff", "check", "--no-cache", "--output-format", "concise"],
    ["ruff", "format", "--check", "--no-cache"],
    ["mypy"],
    ["lint-imports", "--no-logo"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_the_checkout_is_clean(command: list[str]) -> None:
    program = [str(BESIDE / command[0]), *command[1:]]
    done = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
