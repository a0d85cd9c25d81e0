"""Git LFS: git with a filter that keeps large files beside its own objects."""

from __future__ import annotations

from pathlib import Path

from peers.peer import Step, program, size


class GitLfs:
    """A local repository, nothing pushed."""

    name = "git-lfs"
    note = "git add + commit, local store"

    def missing(self) -> str | None:
        return None if program("git-lfs") and program("git") else "not installed (Debian: git-lfs)"

    def version(self) -> Step:
        return Step((("git-lfs", "--version"),), Path())

    def setup(self, folder: Path) -> Step:
        self.work = folder / "work"
        commands = (
            ("git", "init", "-q"),
            ("git", "lfs", "install", "--local"),
            ("git", "lfs", "track", "model.*"),
            ("git", "add", ".gitattributes"),
            ("git", "commit", "-qm", "start"),
        )
        return Step(commands, self.work)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        commands = (
            ("git", "add", file.name),
            ("git", "commit", "-qm", f"s{number}"),
            ("git", "tag", f"s{number}"),
        )
        self.file = file.name
        return Step(commands, file.parent)

    def restore(self, number: int, target: Path) -> Step:
        return Step((("git", "checkout", "-q", f"s{number}", "--", self.file),), target)

    def stored(self) -> int:
        return size([self.work / ".git"])
