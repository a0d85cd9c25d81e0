"""Programs that end with whoever started them, and folders that are gone soon after: also when a test run is killed."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

PREFIX = "lepton-ai-tests-"
LOCK = "lock"
YOUNG = 60.0
"""Seconds in which a folder may have been made but not locked."""

_LAUNCH = """
import ctypes, os, signal, sys
parent, *command = sys.argv[1:]
ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG stays over exec
if os.getppid() != int(parent):
    sys.exit(1)  # it died meanwhile
os.execvp(command[0], command)
"""


def mortal(command: Sequence[str | Path]) -> list[str]:
    """The command line of a process that Linux asks to end (SIGTERM) when this process is gone.

    Linux means the thread that starts it: from one that ends before the process, the command line is as it was.
    """
    words = [str(word) for word in command]
    if sys.platform != "linux" or threading.current_thread() is not threading.main_thread():
        return words
    return [sys.executable, "-I", "-S", "-c", _LAUNCH, str(os.getpid()), *words]


def locked_folder(place: Path) -> tuple[Path, IO[str]]:
    """A new folder in ``place`` that stays while the file is open; those that nobody holds any more are removed.

    Everybody may go through it: a database server runs as somebody else.
    """
    for old in place.glob(f"{PREFIX}*"):
        _sweep(old)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
    folder.chmod(0o755)
    lock = (folder / LOCK).open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return folder, lock


def _sweep(folder: Path) -> None:
    with suppress(OSError):  # another sweeps it too, or it is somebody else's
        if time.time() - folder.stat().st_mtime < YOUNG:
            return
        with (folder / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
