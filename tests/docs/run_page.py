"""Run the code of one page as its reader would: from top to bottom, in one folder, one Python and one shell.

python run_page.py PAGE, in an empty folder. Python blocks share a namespace. In console blocks every line that
starts with "$ " is a command for bash (more lines belong to it while they end with a backslash); it must succeed, or
end with "# exit N". A `cd`, `export` or variable lasts to the end of the block. Other lines show what is printed.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

from tests.docs.pages import Block, blocks, name

CHECK = 'check() { if [ "$1" != "$2" ]; then echo "$3: exit $1, not $2: $4" >&2; exit 1; fi; }'


def run(page: Path) -> None:
    """Run a page; the first thing that fails is raised with its place."""
    space: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page):
        where = f"{name(page)}:{block.line}"
        print(f"-- {where} {block.language}", flush=True)
        if block.language == "python":
            exec(compile("\n" * (block.line - 1) + block.code, name(page), "exec"), space)
        elif block.language == "console":
            _console(block, where)


def _console(block: Block, where: str) -> None:
    script = ["set -uo pipefail", CHECK]
    for command, code in _commands(block.code):
        script += [command, f"check $? {code} {shlex.quote(where)} {shlex.quote(command)}"]
    if len(script) == 2:
        raise AssertionError(f"{where}: a console block without a command")
    subprocess.run(["bash", "-c", "\n".join(script)], check=True)


def _commands(code: str) -> list[tuple[str, int]]:
    found: list[tuple[str, int]] = []
    lines = iter(code.splitlines())
    for line in lines:
        if not line.startswith("$ "):
            continue
        command = line[2:]
        while command.endswith("\\"):
            command += "\n" + next(lines)
        exits = re.search(r"#.*\bexit (\d+)", command)
        found.append((command, int(exits[1]) if exits else 0))
    return found


if __name__ == "__main__":
    run(Path(sys.argv[1]))
