"""From the address of artifacts, as it was when they were written, to the folder where they are now."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lepton_ai.incoming.contract import File
from lepton_ai.store.durable import storage_errors

NEAR = ("", "file", "mlflow-artifacts")
PROXIED = "mlartifacts"
"""Where a tracking server keeps what it hands out as ``mlflow-artifacts:/…``."""


_ID = re.compile(r"(m-)?[0-9a-f]{32}")
"""How MLflow calls runs and models."""


class Artifacts:
    """Looks in the store's folder, beside it, and in ``more`` folders: in the place itself where that lies in one of
    these, then for its end.

    What else a registry names is told, not read: it may be anybody's, and name any folder of this machine.
    """

    def __init__(self, store: Path, more: Sequence[Path]) -> None:
        self._own = [*more, store, store / PROXIED, store.parent / PROXIED]
        self._beside = store.parent

    def files(self, location: str, owner: str) -> list[File]:
        """The files at a location; ``owner`` (a run or model) must be in the part of the path that is looked for.

        One file that says what is lacking, when there are none.
        """
        address = urlsplit(location)
        if not location:
            return [File("model", lacking="the registry does not say where its files are")]
        if address.scheme not in NEAR:
            return [
                File(
                    "model",
                    lacking=f"{location} is no folder here: mount it or download it, and name it with --objects",
                )
            ]
        path = Path(unquote(address.path))
        place = self._place(path, address.scheme, owner)
        if place is None and address.scheme != "mlflow-artifacts" and path.is_absolute() and path.exists():
            return [
                File(
                    "model",
                    lacking=f"{location} lies outside of the store: --objects names a folder to take it from",
                )
            ]
        if place is None:
            return [File("model", lacking=f"there is no {location}; --objects names where it is now")]
        return list(self._walk(place))

    def _place(self, path: Path, scheme: str, owner: str) -> Path | None:
        parts = PurePosixPath(path).parts
        if ".." in parts:
            return None
        if scheme != "mlflow-artifacts" and path.is_absolute() and path.exists() and self._is_own(path):
            return path
        last = max((i for i, part in enumerate(parts) if part == owner), default=len(parts) - 1)
        bases = [*self._own, self._beside] if _ID.fullmatch(owner) and owner in parts else self._own
        for base in bases:
            for first in range(last + 1):
                if parts[first] == "/":
                    continue
                end = Path(*parts[first:])
                plain = (base / end).resolve() == base.resolve() / end  # no link is on the way
                if (base / end).exists() and (plain or self._is_own(base / end)):
                    return base / end
        return None

    def _is_own(self, path: Path) -> bool:
        whole = path.resolve()
        return any(whole.is_relative_to(base.resolve()) for base in self._own)

    def _walk(self, place: Path) -> Iterator[File]:
        if place.is_file():
            yield File(place.name, place)
            return
        with storage_errors(place):
            for here, folders, names in os.walk(place):
                folders.sort()
                for name in sorted(names):
                    yield self._file(Path(here, name), place)

    def _file(self, file: Path, place: Path) -> File:
        path = file.relative_to(place).as_posix()
        if file.is_symlink() and not (self._is_own(file) or file.resolve().is_relative_to(place.resolve())):
            return File(path, lacking="it is a link that leads out of the store")
        return File(path, file)
