"""From the address of artifacts, as it was when they were written, to the folder where they are now."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from lepton_ai.incoming.contract import File
from lepton_ai.store.durable import storage_errors

NEAR = ("", "file", "mlflow-artifacts")
PROXIED = "mlartifacts"
"""Where a tracking server keeps what it hands out as ``mlflow-artifacts:/…``."""


class Artifacts:
    """Looks in the place itself, then for its end in the store's folder, beside it, and in ``more`` folders."""

    def __init__(self, store: Path, more: Sequence[Path]) -> None:
        self._bases = [*more, store, store / PROXIED, store.parent, store.parent / PROXIED]

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
        place = self._place(Path(unquote(address.path)), address.scheme, owner)
        if place is None:
            return [File("model", lacking=f"there is no {location}; --objects names where it is now")]
        return list(_walk(place))

    def _place(self, path: Path, scheme: str, owner: str) -> Path | None:
        if scheme != "mlflow-artifacts" and path.is_absolute() and path.exists():
            return path
        parts = PurePosixPath(path).parts
        if ".." in parts:
            return None
        last = max((i for i, part in enumerate(parts) if part == owner), default=len(parts) - 1)
        for base in self._bases:
            for first in range(last + 1):
                if parts[first] != "/" and (base / Path(*parts[first:])).exists():
                    return base / Path(*parts[first:])
        return None


def _walk(place: Path) -> Iterator[File]:
    if place.is_file():
        yield File(place.name, place)
        return
    with storage_errors(place):
        for here, folders, names in os.walk(place):
            folders.sort()
            for name in sorted(names):
                file = Path(here, name)
                yield File(file.relative_to(place).as_posix(), file)
