"""Before every run: no test sees or touches the home folder, settings or git identity of whoever runs it.

What tests and the programs that they start leave in the folder for temporary files is removed, at the latest by the
next run."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Generator
from multiprocessing.util import Finalize
from pathlib import Path

import pytest

from tests.mortal import locked_folder

pytest_plugins = ["tests.services", "tests.services_s3", "tests.services_ceph", "tests.services_azure"]

_FOLDERS = ("CONFIG", "CACHE", "DATA", "STATE")
_KEPT = frozenset({"LEPTON_AI_LOAD_SECONDS"})
"""Said to the tests, not to the program."""
_BEFORE = os.environ.get("PYTEST_DEBUG_TEMPROOT", tempfile.gettempdir())
_OURS, _HELD = locked_folder(Path(_BEFORE))
_HOME = _OURS / "home"


def pytest_configure(config: pytest.Config) -> None:
    for name in [name for name in os.environ if name.startswith(("LEPTON_AI_", "GIT_"))]:
        if name in _KEPT:
            continue
        del os.environ[name]
    os.environ |= {f"XDG_{name}_HOME": str(_HOME / name.lower()) for name in _FOLDERS}
    _HOME.mkdir(exist_ok=True)
    os.environ["PYTEST_DEBUG_TEMPROOT"] = _BEFORE  # what tests leave there is for who looks for a failure
    temporary = _OURS / "tmp"
    temporary.mkdir(exist_ok=True)
    temporary.chmod(0o1777)
    os.environ["TMPDIR"] = tempfile.tempdir = str(temporary)
    os.environ |= {"HOME": str(_HOME), "GIT_CONFIG_NOSYSTEM": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}


def pytest_unconfigure(config: pytest.Config) -> None:
    Finalize(
        None, _leave, exitpriority=-200
    )  # multiprocessing has a folder in there, which it removes before


def _leave() -> None:
    shutil.rmtree(_OURS, ignore_errors=True)
    _HELD.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """In CI on Linux everything can be installed: a test skipped because something is not there has failed."""
    report = yield
    _refuse_absence(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """The same for a whole file that is skipped before its tests are known."""
    report = yield
    _refuse_absence(report)
    return report


def _refuse_absence(report: pytest.TestReport | pytest.CollectReport) -> None:
    reason = str(report.longrepr)
    absent = report.skipped and ("not installed" in reason or "could not import" in reason)
    if absent and os.environ.get("CI") == "true" and sys.platform == "linux":
        report.outcome, report.longrepr = "failed", f"skipped, which CI does not allow: {reason}"
