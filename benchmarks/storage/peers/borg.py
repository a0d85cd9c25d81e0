"""Borg: a backup program that cuts files into chunks and keeps equal ones once."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from peers.peer import Step, program, size


class Borg:
    """Encrypted; compression zstd level 3, which is its smallest at a speed that can be compared."""

    name = "borg"
    note = "encrypted (repokey-blake2), --compression zstd,3"
    variables: ClassVar = {
        "BORG_PASSPHRASE": "measured",
        "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes",
        "BORG_RELOCATED_REPO_ACCESS_IS_OK": "yes",
    }

    def missing(self) -> str | None:
        return None if program("borg") else "not installed (Debian: borgbackup)"

    def version(self) -> Step:
        return Step((("borg", "--version"),), Path())

    def setup(self, folder: Path) -> Step:
        self.folder = folder
        init = ("borg", "init", "--encryption", "repokey-blake2", str(folder / "store"))
        return Step((init,), folder, self.variables)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        archive = f"{self.folder / 'store'}::s{number}"
        create = ("borg", "create", "--compression", "zstd,3", archive, file.name)
        return Step((create,), file.parent, self.variables)

    def restore(self, number: int, target: Path) -> Step:
        return Step((("borg", "extract", f"{self.folder / 'store'}::s{number}"),), target, self.variables)

    def stored(self) -> int:
        return size([self.folder / "store", self.folder / "home"])
