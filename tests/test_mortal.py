"""What a killed test run leaves: no process, and no folder for longer than until the next run."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.mortal import LOCK, YOUNG, locked_folder
from tests.server.processes import eventually

ROOT = Path(__file__).parent.parent
_RUN = """
import os, subprocess, sys, time
from tests.mortal import mortal
one = subprocess.Popen(mortal([sys.executable, "-c", "import time; time.sleep(600)"]))
print(one.pid, flush=True)
time.sleep(600)
"""
_WITH_DATABASE = """
import sys, time
from tests.services import Postgresql
service = Postgresql()
service.start()
print(service.pid, service.folder, flush=True)
time.sleep(600)
"""


def _gone(pid: int) -> bool:
    try:
        return (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def _killed(program: str) -> list[str]:
    """The words that a program says before it is killed."""
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        words = process.stdout.readline().split()
        process.kill()
    assert words
    return words


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells children of their parent's end")
def test_a_program_ends_with_the_run_that_started_it() -> None:
    pid = int(_killed(_RUN)[0])
    eventually(lambda: _gone(pid))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_database_server_ends_with_the_run_that_started_it() -> None:
    pid, folder = _killed(_WITH_DATABASE)
    try:
        eventually(lambda: _gone(int(pid)))
        eventually(lambda: not (Path(folder) / "data" / "postmaster.pid").exists())  # in order, not killed
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def test_a_folder_stays_while_somebody_holds_it(tmp_path: Path) -> None:
    (killed, lock), (young, fresh) = locked_folder(tmp_path), locked_folder(tmp_path)
    lock.close()
    fresh.close()
    held, kept = locked_folder(tmp_path)
    before = time.time() - YOUNG - 1
    for folder in (killed, held):
        os.utime(folder, (before, before))
    ours, mine = locked_folder(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([young, held, ours])
    assert (held / LOCK).exists()
    for each in (kept, mine):
        each.close()
