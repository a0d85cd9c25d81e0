"""Draw docs/images/terminal.svg: what a terminal shows, taken from the running product after its demo."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
import tempfile
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

TARGET = Path(__file__).parent.parent / "docs" / "images" / "terminal.svg"
LEPTON = Path(sys.executable).with_name("lepton")
COLUMNS = 98
COMMANDS = [
    "lepton log --graph",
    "lepton alias production v5",
    "lepton tensor v5 coefs_.1",
    "lepton verify",
]


def on_a_terminal(command: list[str], folder: Path) -> str:
    """What the command prints when it believes that a person looks on."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        printed = b""
        while part := _read(ours):
            printed += part
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{command}: {printed.decode()}")
    return printed.decode().replace("\r\n", "\n")


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, 65536)
    except OSError:  # Linux says so when the other end was closed
        return b""


def _without_web_fonts(svg: str) -> str:
    """Rich's picture loads a font from a stranger's server; every computer has one that will do."""
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    return svg.replace(
        "font-family: Fira Code, monospace", "font-family: Menlo, Consolas, DejaVu Sans Mono, monospace"
    )


def main() -> None:
    """Run the demo in a home of its own, then a few commands, and draw them."""
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        os.environ |= {
            "HOME": name, "XDG_CONFIG_HOME": name, "LEPTON_AI_AUTHOR": "Ada", "COLUMNS": str(COLUMNS),
            "TERM": "xterm-256color",
        }  # fmt: skip
        subprocess.run([LEPTON, "demo", str(home / "demo")], check=True, stdout=subprocess.DEVNULL)
        console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True)
        for command in COMMANDS:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            shown = on_a_terminal([str(LEPTON), *command.split()[1:]], home / "demo" / "digits")
            console.print(Text.from_ansi(shown))
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(_without_web_fonts(console.export_svg(title="digits")), encoding="utf-8")
    print(f"wrote {TARGET}")


if __name__ == "__main__":
    main()
