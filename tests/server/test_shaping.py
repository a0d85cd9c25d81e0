"""A server that has just started may be asked from many threads: no type is worked out in one of them."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

_DECODES = """
import contextlib, json, sys, msgspec
from pathlib import Path
from lepton_ai.server import shaping
from lepton_ai.server.app import create_app
from lepton_ai.server.settings import ServerSettings
if sys.argv[1] == "served":
    create_app(ServerSettings(folder=Path("nowhere")))
from lepton_ai import wire
from lepton_ai.history import states
from lepton_ai.history.refs.contract import Commit
from lepton_ai.types import Record
worked_out = []
def watch(frame, event, argument):
    if event == "call" and frame.f_code.co_name == "get_class_annotations":  # msgspec asks once for each struct
        worked_out.append(1)
sys.setprofile(watch)
for kind in (wire.NewUpload, wire.TokenLogin, states.BranchState, Commit, Record):
    with contextlib.suppress(msgspec.ValidationError):
        msgspec.json.decode(b"{}", type=kind)
sys.setprofile(None)
print(json.dumps(len(worked_out)))
"""


@pytest.mark.parametrize("how", ["served", "alone"])
def test_types_are_worked_out_before_the_first_request(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _DECODES, how], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout) == 0) == (how == "served")
