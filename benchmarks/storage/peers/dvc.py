"""DVC: the file goes into its cache, git keeps the pointer."""

from __future__ import annotations

from pathlib import Path

from peers.peer import Step, program, size


class Dvc:
    """As its guide says: ``dvc add``, then a git commit; back with ``git checkout`` and ``dvc checkout``."""

    name = "DVC"
    note = "dvc add + git commit, local cache"

    def __init__(self, tools: Path) -> None:
        self.program = program(tools / "dvc/bin/dvc", "dvc")

    def missing(self) -> str | None:
        return (
            None if self.program and program("git") else "not installed (PyPI: dvc; install-peers.sh failed?)"
        )

    def version(self) -> Step:
        return Step(((self._dvc, "--version"),), Path())

    @property
    def _dvc(self) -> str:
        return self.program or "dvc"

    def setup(self, folder: Path) -> Step:
        self.work = folder / "work"
        commands = (
            ("git", "init", "-q"),
            (self._dvc, "init", "-q"),
            (self._dvc, "config", "core.analytics", "false"),
            ("git", "commit", "-qm", "start", "-a"),
        )
        return Step(commands, self.work)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        pointer = f"{file.name}.dvc"
        commands = (
            (self._dvc, "add", "-q", file.name),
            ("git", "add", pointer, ".gitignore"),
            ("git", "commit", "-qm", f"s{number}"),
            ("git", "tag", f"s{number}"),
        )
        self.pointer = pointer
        return Step(commands, file.parent)

    def restore(self, number: int, target: Path) -> Step:
        commands = (
            ("git", "checkout", "-q", f"s{number}", "--", self.pointer),
            (self._dvc, "checkout", "-q", self.pointer),
        )
        return Step(commands, target)

    def stored(self) -> int:
        return size([self.work / ".dvc", self.work / ".git"])
