"""A PostgreSQL whose folder stays, with what was filled in, so that one can measure again without filling."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

from tests.services import Postgresql

OPTIONS = {"shared_buffers": "1GB", "fsync": "on", "max_wal_size": "4GB"}
"""All else is as PostgreSQL comes."""


class Kept(Postgresql):
    """The server whose files are in ``folder``; with None in a folder that goes when it ends."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__(**OPTIONS)
        self.temporary = folder is None
        if folder is None:
            return
        shutil.rmtree(self.folder)
        self.folder = folder.absolute()
        if (self.folder / "data").exists():
            self.password = (self.folder / "word").read_text()
            installed = self.folder / "installed" / "bin"
            self._bin = installed if installed.exists() else self._bin
            (self.folder / "data" / "postmaster.pid").unlink(missing_ok=True)
        else:
            self.folder.mkdir(parents=True)

    def prepare(self) -> None:
        """Make the server's files."""
        super().prepare()
        self._note({})

    def end(self) -> None:
        """Stop; the files stay, if they are to."""
        if self.temporary:
            super().end()
        else:
            self.stop()

    def filled(self) -> dict[str, Any]:
        """What is in it: the name of a database → what it was filled with."""
        found: dict[str, Any] = json.loads((self.folder / "filled.json").read_text())
        return found

    def keep(self, name: str, told: dict[str, Any]) -> None:
        """Note that the database ``name`` is filled."""
        self._note(self.filled() | {name: told})

    def _note(self, told: dict[str, Any]) -> None:
        file = self.folder / "filled.json"
        file.write_text(json.dumps(told, indent=2))
        file.chmod(0o600)  # it has the secret of a token
        if self._user:
            os.chown(file, 0, 0)
