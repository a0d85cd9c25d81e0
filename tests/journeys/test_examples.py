"""What examples/ promises."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent.parent / "examples"


@pytest.mark.slow
@pytest.mark.frameworks
def test_the_best_merge_of_two_specialists_beats_both(tmp_path: Path) -> None:
    script = EXAMPLES / "merge_digits" / "merge_digits.py"
    done = subprocess.run(
        [sys.executable, script, tmp_path / "digits"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    rows = re.findall(r"^(\w+) +([\d.]+) +([\d.]+) +([\d.]+)$", done.stdout, re.MULTILINE)
    told = {name: [float(one) for one in numbers] for name, *numbers in rows}
    assert len(told) == 3 + 18
    assert told["take_ours"] == told["low"]
    assert told["take_theirs"] == told["high"]
    assert told["take_base"] == told["main"]
    merges = {name: numbers[0] for name, numbers in told.items() if name not in ("main", "low", "high")}
    best = max(merges.values())
    assert best > max(told["low"][0], told["high"][0]) + 0.2
    assert best > told["main"][0]
    assert f"kept: {best:.3f}" in done.stdout
