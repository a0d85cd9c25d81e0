"""The same sources, written anew by the tools as they are installed now: their layouts change, and this says so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Bring
from .sources import write_sources

TOOLS = {"dvc": "dvc", "git-lfs": "dvc", "mlflow": "mlflow", "huggingface": "huggingface_hub"}
EXPECTED = {
    "dvc/project": 6, "git-lfs/model": 4, "mlflow/database": 3, "mlflow/files": 3, "huggingface/hub": 3,
    "huggingface/plain": 1,
}  # fmt: skip
PYTHON = os.environ.get("LEPTON_TEST_PEERS_PYTHON", sys.executable)
"""A Python that has the tools, where this one has not."""


def _has(module: str) -> bool:
    return (
        subprocess.run([PYTHON, "-c", f"import {module}"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.slow
@pytest.mark.parametrize("place", EXPECTED)
def test_sources_of_the_tools_of_today(place: str, bring_in: Bring, tmp_path: Path) -> None:
    name = place.split("/", maxsplit=1)[0]
    if not _has(TOOLS[name]):
        pytest.skip(
            f"{TOOLS[name]} cannot be loaded by {PYTHON}: pip install dvc mlflow-skinny huggingface_hub"
        )
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    subprocess.run(
        [PYTHON, write_sources.__file__, tmp_path / "fresh", "--only", name], check=True, env=environment
    )
    report = bring_in(tmp_path / "fresh" / place)
    assert len(report.taken) == EXPECTED[place]
    assert not any(taken.missing for taken in report.taken)
    assert not [left for left in report.left if left.reference]
