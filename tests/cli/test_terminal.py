"""What is different when a person sits in front of a terminal."""

from __future__ import annotations

import os
import pty
import re
import sys
from pathlib import Path

import pytest

from lepton_ai.cli import bars as drawing
from lepton_ai.progress import SILENT
from tests.cli.conftest import Lepton

PROGRAM = str(Path(sys.executable).with_name("lepton"))
ESCAPE = "\x1b["


def on_terminal(*arguments: str, columns: int = 100, **environment: str) -> str:
    """Everything that the program writes to a terminal."""
    return spawned([PROGRAM, *arguments], COLUMNS=str(columns), **environment)


def spawned(command: list[str], **environment: str) -> str:
    """Everything that a command writes to a terminal of its own."""
    pid, master = pty.fork()
    if pid == 0:
        os.environ |= {"TERM": "xterm-256color", **environment}
        os.execv(command[0], command)
    parts = []
    while True:
        try:
            part = os.read(master, 4096)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        parts.append(part)
    os.close(master)
    os.waitpid(pid, 0)
    return b"".join(parts).decode().replace("\r\n", "\n")


def plain(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)


def test_a_terminal_gets_colours_and_a_pipe_none(three: Lepton) -> None:
    shown = on_terminal("versions")
    assert ESCAPE in shown
    assert [line.split()[0] for line in plain(shown).splitlines()] == ["Version", "v1", "v2", "v3"]
    assert ESCAPE not in three("versions").out
    assert ESCAPE not in on_terminal("versions", NO_COLOR="1")
    assert ESCAPE in on_terminal("log", "--graph")
    assert ESCAPE not in on_terminal("log", "--graph", NO_COLOR="1")


def test_nothing_is_cut_on_a_narrow_terminal(three: Lepton) -> None:
    id_ = three("versions", "--json").json[1]["id"][:12]
    shown = plain(on_terminal("versions", columns=40))
    assert id_ in shown
    assert "…" not in shown
    assert "accuracy=0.91" in shown


def test_help_is_drawn_on_a_terminal_and_plain_in_a_pipe(lepton: Lepton) -> None:
    shown = on_terminal("--help")
    assert "╭─ Everyday " in plain(shown)
    assert "╭─ Going back " in plain(shown)
    assert plain(shown).rstrip().endswith("$ lepton rollback v1")
    assert "╭" not in lepton("--help").out
    assert "╭" not in on_terminal("--help", NO_COLOR="1")


def test_init_says_what_to_do_with_the_recovery_key(here: Path) -> None:
    shown = on_terminal("init")
    recovery = next(line for line in shown.splitlines() if line.endswith(".recovery"))
    assert Path(recovery).is_file()
    assert "the recovery key is the only way back" in shown
    assert f"cat {recovery}" in shown


def test_json_on_a_terminal_is_only_json(three: Lepton) -> None:
    assert on_terminal("versions", "--json") == three("versions", "--json").out


def test_an_error_on_a_terminal_is_one_plain_line(three: Lepton) -> None:
    assert on_terminal("show", "v9").startswith("lepton: there is no version 'v9'")


def test_bars_are_silent_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    with drawing.bars() as progress:
        assert progress is SILENT
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    with drawing.bars(quiet=True) as progress:
        assert progress is SILENT
    with drawing.bars() as progress:
        assert progress is not SILENT


SLOW = """
import sys, time
from lepton_ai.cli import bars
bars.PATIENCE = float(sys.argv[1])
with bars.bars() as progress:
    progress.start("saving", 1000)
    for _ in range(10):
        progress.advance(100)
        time.sleep(0.03)
    progress.start("checking", 10)
    progress.advance(10)
    time.sleep(0.2)
print("done")
"""


def bars_on_terminal(patience: float) -> str:
    return spawned([sys.executable, "-c", SLOW, str(patience)], COLUMNS="100")


def test_a_bar_appears_for_what_takes_long_and_goes_away() -> None:
    shown = bars_on_terminal(0.05)
    assert "saving" in plain(shown)
    assert "━" in shown
    assert shown.rstrip().endswith("done")
    assert f"{ESCAPE}2K" in shown.rpartition("saving")[2]


def test_a_pipe_gets_its_lines_while_a_bar_is_on_the_terminal(here: Path) -> None:
    """Rich would lead everything that is printed meanwhile to where the bar is."""
    (here / "slow.py").write_text(
        SLOW.replace("    time.sleep(0.2)", "    time.sleep(0.2)\n    print('inside')")
    )
    spawned(["/bin/bash", "-c", f"{sys.executable} slow.py 0 > out"], COLUMNS="100")
    assert (here / "out").read_text() == "inside\ndone\n"


def test_no_bar_for_what_is_quick() -> None:
    assert bars_on_terminal(60) == "done\n"
