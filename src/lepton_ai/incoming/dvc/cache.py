"""Where the bytes are: DVC's cache, its remotes that are folders, and folders that people name."""

from __future__ import annotations

import configparser
import json
import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from platformdirs import user_config_path

from lepton_ai.incoming.values import listed, mapping

_URL = "://"
_OBJECT = re.compile(r"[0-9a-f]{32}(\.dir)?")


class Cache:
    """Looks objects up in every place, in the layouts of DVC 3 (``files/md5/ab/…``) and before (``ab/…``)."""

    def __init__(self, projects: Iterable[Path], more: Iterable[Path]) -> None:
        """``projects`` are folders with a ``.dvc`` folder in them."""
        self.places = list(more)
        self.remotes: list[str] = []
        """Addresses of remotes that are no folders: out of reach."""
        self._listings: dict[str, list[tuple[str, str, int]] | None] = {}
        for project in projects:
            self._read(project / ".dvc")

    def find(self, md5: str) -> Path | None:
        """The file with an object's bytes. What is no checksum names no file: it would lead elsewhere."""
        if not _OBJECT.fullmatch(md5):
            return None
        for place in self.places:
            for start in (place / "files" / "md5", place):
                file = start / md5[:2] / md5[2:]
                if file.is_file():
                    return file
        return None

    def listing(self, md5: str) -> list[tuple[str, str, int]] | None:
        """Relative path, MD5 and size (0: unknown) of every file in a folder; None when nobody has the list."""
        if md5 not in self._listings:
            self._listings[md5] = self._listed(md5)
        return self._listings[md5]

    def _listed(self, md5: str) -> list[tuple[str, str, int]] | None:
        file = self.find(md5)
        if file is None:
            return None
        try:
            told = json.loads(file.read_bytes())
        except (OSError, ValueError):
            return None
        entries = (mapping(entry) for entry in listed(told))
        return [(str(e["relpath"]), str(e["md5"]), 0) for e in entries if "relpath" in e and "md5" in e]

    def _read(self, folder: Path) -> None:
        places: list[Path] = []
        remotes: list[str] = []
        files = [user_config_path("dvc", "iterative") / "config", folder / "config", folder / "config.local"]
        for file in files:
            config = configparser.RawConfigParser(strict=False, allow_no_value=True)
            with suppress(OSError, configparser.Error, UnicodeDecodeError):
                config.read_string(file.read_text(encoding="utf-8"))
            for name in config.sections():
                option = "dir" if name == "cache" else "url" if name.strip("'").startswith("remote ") else ""
                value = config.get(name, option, fallback="") if option else ""
                if not value:
                    continue
                if _URL in value and not value.startswith("file://"):
                    remotes.append(value)
                else:
                    places.append(folder / Path(value.removeprefix("file://")).expanduser())
        self.places += [folder / "cache", *places]
        self.remotes += remotes
