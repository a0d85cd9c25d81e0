"""The files of a version that arrives: those that can be had, checked and with a place to read them from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from lepton_ai.errors import StorageFailed
from lepton_ai.history import paths
from lepton_ai.history.files import Found
from lepton_ai.incoming.checking import Checks
from lepton_ai.incoming.contract import File, Left, Source


class Gathering:
    """Looks at the files of one source; without a ``folder`` (a dry run) it does not read them."""

    def __init__(self, source: Source) -> None:
        self._source, self._checks = source, Checks()

    def gather(
        self, files: Iterable[File], told: str, folder: Path | None
    ) -> tuple[list[Found], list[str], list[Left]]:
        """What there is, the paths that could not be had though they may be one day, and all that is left out."""
        found: list[Found] = []
        missing: list[str] = []
        left: list[Left] = []
        links: list[File] = []
        for number, file in enumerate(sorted(files, key=lambda file: file.path)):
            why = paths.trouble([(file.path, None)])
            if why:
                left.append(Left(f"file {file.path!r}", why, told))
            elif file.target is not None:
                links.append(file)
            else:
                why = self._lacking(file, folder, number, found)
                if why:
                    missing.append(file.path)
                    left.append(Left(f"file {file.path}", why, told))
        found += self._links(links, found, told, left)
        return found, missing, left

    def _lacking(self, file: File, folder: Path | None, number: int, found: list[Found]) -> str:
        """Why a file is not among ``found`` now; "" when it is."""
        if file.lacking:
            return file.lacking
        place, size = file.place, file.size
        if place is None:
            if folder is None:
                found.append(Found(file.path, Path(), size, file.executable))
                return ""
            place = folder / str(number)
            self._source.write(file, place)
        try:
            size = os.stat(place).st_size  # noqa: PTH116  (follows the links of a cache as open does)
            trouble = "" if folder is None else self._checks.trouble(file, place)
        except FileNotFoundError:
            return f"there is no {place}"
        except (OSError, StorageFailed) as problem:
            return f"{place} cannot be read: {problem}"
        if not trouble:
            found.append(Found(file.path, place, size, file.executable))
        return trouble

    def _links(self, links: list[File], found: list[Found], told: str, left: list[Left]) -> list[Found]:
        targets = {file.path: str(file.target) for file in links}
        there = {file.path for file in found}
        there |= paths.folders([*there, *targets])
        kept = []
        for file in links:
            target = str(file.target)
            if paths.follow(file.path, target, targets) in there:
                kept.append(Found(file.path, Path(file.path), target=target))
            else:
                left.append(
                    Left(f"link {file.path}", f"it leads to {target}, which is not in the version", told)
                )
        return kept
