"""Oxen: a git-like store for data, through its Python package (its own program is not on PyPI)."""

from __future__ import annotations

from pathlib import Path

from peers.peer import Step, program, size

SETUP = """
import oxen
oxen.user.config_user("Ada", "ada@example.org")
oxen.Repo(".").init()
"""
SAVE = """
import sys, oxen
file, note = sys.argv[1:]
repo = oxen.Repo(".")
repo.add(file)
open(note, "w").write(repo.commit("s").id)
"""
RESTORE = """
import sys, oxen
note, file = sys.argv[1:]
oxen.Repo(".").restore(file, source=open(note).read())
"""


class Oxen:
    """A local repository, nothing pushed."""

    name = "Oxen"
    note = "oxenai, add + commit, local repository"

    def __init__(self, tools: Path) -> None:
        self.python = program(tools / "oxen/bin/python")

    def missing(self) -> str | None:
        return None if self.python else "not installed (PyPI: oxenai; install-peers.sh failed?)"

    def version(self) -> Step:
        return Step(
            (self._run("import importlib.metadata as m; print('oxenai', m.version('oxenai'))"),), Path()
        )

    def setup(self, folder: Path) -> Step:
        self.folder = folder
        return Step((("mkdir", str(folder / "notes")), self._run(SETUP)), folder / "work")

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        self.file = file.name
        return Step((self._run(SAVE, file.name, str(self.folder / f"notes/{number}")),), file.parent)

    def restore(self, number: int, target: Path) -> Step:
        return Step((self._run(RESTORE, str(self.folder / f"notes/{number}"), self.file),), target)

    def stored(self) -> int:
        return size([self.folder / "work" / ".oxen", self.folder / "notes"])

    def _run(self, code: str, *arguments: str) -> tuple[str, ...]:
        return (self.python or "python3", "-c", code, *arguments)
