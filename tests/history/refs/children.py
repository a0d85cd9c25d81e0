"""Forked processes that do something, and may be killed at a line."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

from lepton_ai.history.refs import schema
from lepton_ai.history.refs.contract import VersionRow

ROOM = str(Path(schema.__file__).parent)


def spawn(work: Callable[[], None]) -> int:
    """Fork a child that does ``work`` and ends."""
    pid = os.fork()
    if pid:
        return pid
    status = 1
    try:
        work()
        status = 0
    except BaseException as problem:  # noqa: BLE001  (told to the test through stderr and the exit code)
        print(f"child: {type(problem).__name__}: {problem}", file=sys.stderr, flush=True)
    finally:
        os._exit(status)


def finished_well(pids: list[int]) -> bool:
    ends = [os.waitpid(pid, 0)[1] for pid in pids]
    return ends == [0] * len(pids)


def row_of(number: int, worker: int = 0) -> VersionRow:
    made = hashlib.sha256(b"%d/%d" % (worker, number)).digest()
    return VersionRow(made, made, 1, f"v{number}", "main", (), None, number, number, b"r" * 500)


def kill_at_line(wanted: int) -> None:
    """Have this process killed when it is about to run line number ``wanted`` (counted) of the room or of a step."""
    left = wanted

    def trace(frame: FrameType, event: str, _: object) -> Any:
        nonlocal left
        if not (frame.f_code.co_filename.startswith(ROOM) or frame.f_code.co_name == "second_step"):
            return None
        if event == "line":
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)
