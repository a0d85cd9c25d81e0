"""The same sources, written anew by the tools as they are installed now: their layouts change, and this says so."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .conftest import Bring
from .sources import write_sources

MODULES = {"dvc": "dvc", "mlflow": "mlflow", "huggingface": "huggingface_hub"}
EXPECTED = {
    "dvc/project": 6, "git-lfs/model": 4, "mlflow/database": 3, "mlflow/files": 3, "huggingface/hub": 3,
    "huggingface/plain": 1,
}  # fmt: skip
INSTALLED = Path(__file__).parents[2] / "build" / "import-sources" / "bin" / "python"
"""Where ``make test-slow`` puts the tools."""
PYTHON = os.environ.get("LEPTON_TEST_PEERS_PYTHON") or (
    str(INSTALLED) if INSTALLED.exists() else sys.executable
)


def need(tool: str) -> None:
    """Skip the test where a tool is not there; CI does not allow that."""
    if tool == "git-lfs" and shutil.which(tool) is None:
        pytest.skip("git-lfs is not installed")
    asked = [PYTHON, "-c", f"import {MODULES.get(tool, 'json')}"]
    if subprocess.run(asked, capture_output=True, check=False).returncode:
        pytest.skip(f"{MODULES[tool]} is not installed (tools/import-sources.sh)")


@pytest.mark.slow
@pytest.mark.parametrize("place", EXPECTED)
def test_sources_of_the_tools_of_today(place: str, bring_in: Bring, tmp_path: Path) -> None:
    name = place.split("/", maxsplit=1)[0]
    need(name)
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment["PATH"] = f"{Path(PYTHON).parent}{os.pathsep}{environment['PATH']}"
    subprocess.run(
        [PYTHON, write_sources.__file__, tmp_path / "fresh", "--only", name], check=True, env=environment
    )
    report = bring_in(tmp_path / "fresh" / place)
    assert len(report.taken) == EXPECTED[place]
    assert not any(taken.missing for taken in report.taken)
    assert not [left for left in report.left if left.reference]
