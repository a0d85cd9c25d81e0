"""git-lfs: pointers in every commit, and the objects that the repository has.

Source: https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

from msgspec.structs import replace

from lepton_ai.errors import UsageError
from lepton_ai.incoming.contract import Arrival, File, Kind, Left
from lepton_ai.incoming.folder_facts import facts
from lepton_ai.incoming.git import commits
from lepton_ai.incoming.git.objects import EXECUTABLE, LINK, Entry, Objects
from lepton_ai.incoming.git.told import Small, is_bookkeeping, selected
from lepton_ai.incoming.values import LARGEST

POINTER = 1024
"""Bytes; a pointer is shorter."""
_SPEC = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
_OID = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(rb"^size ([0-9]+)$", re.MULTILINE)


class LfsContent:
    """A :class:`~lepton_ai.incoming.git.told.Content`: files in LFS, and those that git keeps in the same folders.

    With ``paths`` it is what lies there, in LFS or not.
    """

    kind: Kind = "git-lfs"

    def __init__(self, objects: Objects, paths: Sequence[str], more: Sequence[Path]) -> None:
        self._objects, self._paths = objects, paths
        self._small = Small(objects)
        self._pointers: dict[str, tuple[str, int] | None] = {}
        self._trees: dict[str, tuple[tuple[str, Entry], ...]] = {}
        self._places = [*more, *_places(objects)]
        self._lacking = False

    def summary(self, tree: str) -> Hashable | None:
        """The objects of all files that count."""
        files = self._counted(tree)
        return tuple((path, entry.oid, entry.mode) for path, entry in files) or None

    def arrival(self, tree: str, bare: Arrival) -> Arrival:
        """The files, and what a model card and the like among them say."""
        entries = dict(self._counted(tree))
        told = facts(entries, lambda path: self._read(entries[path]))
        return replace(
            bare,
            files=tuple(self._files(entries)),
            params=told.params,
            metrics=told.metrics,
            curves=told.curves,
            dataset=told.dataset,
        )

    def left(self) -> list[Left]:
        """What to do about pointers without objects, when there were any."""
        if not self._lacking:
            return []
        return [
            Left(
                "objects on an LFS server",
                "they are not here: git lfs fetch --all brings them; then import again",
            )
        ]

    def nothing(self) -> str:
        """As the contract says."""
        if self._paths:
            return "there is no " + " or ".join(self._paths)
        return "no commit has a pointer of git-lfs"

    def _counted(self, tree: str) -> tuple[tuple[str, Entry], ...]:
        if tree not in self._trees:
            entries = self._objects.files(tree)
            self._trees[tree] = tuple(sorted(self._chosen(entries).items()))
        return self._trees[tree]

    def _chosen(self, entries: Mapping[str, Entry]) -> dict[str, Entry]:
        entries = {path: entry for path, entry in entries.items() if not is_bookkeeping(path)}
        if self._paths:
            return {path: entry for path, entry in entries.items() if selected(path, self._paths)}
        folders = {
            PurePosixPath(p).parent for p, entry in entries.items() if self._pointer(entry) is not None
        }
        return {path: entry for path, entry in entries.items() if PurePosixPath(path).parent in folders}

    def _pointer(self, entry: Entry) -> tuple[str, int] | None:
        """The SHA-256 and size that a pointer names; None for any other file."""
        if entry.mode == LINK:
            return None
        if entry.oid not in self._pointers:
            size = self._objects.size(entry.oid)
            data = self._objects.read(entry.oid) if size is not None and size < POINTER else None
            self._pointers[entry.oid] = _parsed(data or b"")
        return self._pointers[entry.oid]

    def _files(self, entries: Mapping[str, Entry]) -> Iterable[File]:
        for path, entry in entries.items():
            executable = bool(entry.mode & EXECUTABLE)
            pointer = self._pointer(entry)
            if pointer is not None:
                yield self._of_object(path, *pointer, executable=executable)
            elif entry.mode == LINK:
                yield File(path, target=self._read(entry).decode("utf-8", "replace"))
            else:
                size = self._objects.size(entry.oid)
                lacking = "" if size is not None else "git has not fetched it (a partial clone)"
                yield File(path, None, size or 0, executable, blob=entry.oid, lacking=lacking)

    def _of_object(self, path: str, oid: str, size: int, *, executable: bool) -> File:
        for place in self._places:
            file = place / oid[:2] / oid[2:4] / oid
            if file.is_file():
                return File(path, file, size, executable, check=("sha256", oid))
        self._lacking = True
        return File(path, size=size, lacking=f"its pointer names {oid}, and there is no such object")

    def _read(self, entry: Entry) -> bytes:
        return self._small.read(entry.oid, LARGEST) or b""


def _places(objects: Objects) -> list[Path]:
    """Folders of objects: the repository's own, the one that is configured, and that of a remote that is a folder."""
    folder = objects.folder
    common = folder / objects.ask("rev-parse", "--git-common-dir").strip()
    found = [common / "lfs" / "objects"]
    try:
        storage = objects.ask("config", "--get", "lfs.storage").strip()
        found.append(common / storage / "objects")
    except UsageError:
        pass  # it is not configured
    remote = commits.remote(objects).removeprefix("file://")
    if remote and "://" not in remote:
        found += [folder / remote / "lfs" / "objects", folder / remote / ".git" / "lfs" / "objects"]
    return found


def _parsed(data: bytes) -> tuple[str, int] | None:
    oid, size = _OID.search(data), _SIZE.search(data)
    if not data.startswith(_SPEC) or oid is None or size is None:
        return None
    return oid[1].decode(), int(size[1])
