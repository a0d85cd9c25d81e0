"""restic: a backup program that cuts files into chunks by content and keeps equal ones once."""

from __future__ import annotations

from pathlib import Path

from peers.peer import Step, program, size


class Restic:
    """Always encrypted; compression as it comes (auto)."""

    name = "restic"
    note = "encrypted (always), compression auto"

    def missing(self) -> str | None:
        return None if program("restic") else "not installed (Debian: restic)"

    def version(self) -> Step:
        return Step((("restic", "version"),), Path())

    def setup(self, folder: Path) -> Step:
        self.folder = folder
        self.variables = {"RESTIC_PASSWORD": "measured", "RESTIC_REPOSITORY": str(folder / "store")}
        return Step((("restic", "init", "-q"),), folder, self.variables)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        backup = ("restic", "backup", "-q", "--tag", f"s{number}", file.name)
        return Step((backup,), file.parent, self.variables)

    def restore(self, number: int, target: Path) -> Step:
        back = ("restic", "restore", "-q", "latest", "--tag", f"s{number}", "--target", str(target))
        return Step((back,), target, self.variables)

    def stored(self) -> int:
        return size([self.folder / "store", self.folder / "home"])
