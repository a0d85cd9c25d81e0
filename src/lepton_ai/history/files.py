"""Which files of a path go into a version: folders, symbolic links, the executable bit, ``.leptonignore``."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath

from lepton_ai.errors import NotFound, StorageFailed, UsageError
from lepton_ai.formats.contract import check_range

IGNORE_FILE = ".leptonignore"
ALWAYS_IGNORED = (".lepton/", ".git/", "__pycache__/", ".DS_Store", IGNORE_FILE)


@dataclass(frozen=True)
class Found:
    """One file to save: where it goes in the version, where it is now; ``target`` makes it a link inside."""

    path: str
    place: Path
    size: int = 0
    executable: bool = False
    target: str | None = None


class FileSource:
    """A :class:`~lepton_ai.formats.contract.Source` over a file, opened at the first read."""

    def __init__(self, place: Path, size: int) -> None:
        self._place, self._size = place, size
        self._handle: int | None = None

    @property
    def size(self) -> int:
        """Length in bytes when the file was found."""
        return self._size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self._size)
        if self._handle is None:
            self._handle = os.open(self._place, os.O_RDONLY | os.O_CLOEXEC)
        parts = []
        while length:
            part = os.pread(self._handle, length, offset)
            if not part:
                raise StorageFailed(
                    f"{self._place} became shorter while it was read", hint="repeat when it is complete"
                )
            parts.append(part)
            offset, length = offset + len(part), length - len(part)
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the file."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def collect(paths: list[Path], *, name: str | None = None) -> list[Found]:
    """The files to save, sorted by their path in the version.

    One folder gives its content; a file, or several paths, give themselves by their own names. ``name`` renames a
    single file.

    Raises:
        NotFound: a path does not exist.
        UsageError: nothing to save, two files of the same name, or a path that is neither file nor folder.
    """
    found: list[Found] = []
    for place in paths:
        if not place.exists():
            raise NotFound(f"there is no file {place}", hint="check the path")
        if place.is_dir():
            inside = list(_walk(place))
            prefix = "" if len(paths) == 1 else place.resolve().name + "/"
            found += [Found(prefix + f.path, f.place, f.size, f.executable, f.target) for f in inside]
        else:
            found.append(_file(place, name or place.name))
    if not found:
        raise UsageError(
            f"{paths[0]} has no files to save", hint="look at .leptonignore, or name another folder"
        )
    found.sort(key=lambda file: file.path)
    for left, right in pairwise(found):
        if left.path == right.path:
            raise UsageError(
                f"two files would be called {left.path!r} in the version", hint="rename one of them"
            )
        if right.path.startswith(left.path + "/"):
            raise UsageError(f"{left.path!r} would be a file and a folder", hint="rename one of them")
    return found


def _walk(root: Path) -> Iterator[Found]:
    rules = [*ALWAYS_IGNORED, *_rules(root / IGNORE_FILE)]
    base = root.resolve()
    for folder, folders, files in os.walk(root, followlinks=False):
        here = Path(folder)
        linked = [name for name in folders if (here / name).is_symlink()]
        folders[:] = sorted(
            n for n in folders if n not in linked and not _ignored(_rel(here / n, root), True, rules)
        )
        for name in sorted([*files, *linked]):
            place = here / name
            path = _rel(place, root)
            if _ignored(path, False, rules):
                continue
            if place.is_symlink():
                yield Found(path, place, target=_target(place, base))
            else:
                yield _file(place, path)


def _file(place: Path, path: str) -> Found:
    try:
        path.encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"the name of {place!r} is not text that can be kept", hint="rename the file"
        ) from None
    status = place.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{place} is neither a file nor a folder", hint="leave it out with .leptonignore")
    return Found(path, place, status.st_size, bool(status.st_mode & stat.S_IXUSR))


def _target(link: Path, base: Path) -> str:
    """Where a link points, relative to the link's folder; only inside the folder that is saved.

    Raises:
        UsageError: it points outside, or nowhere.
    """
    aim = link.readlink()
    real = link.resolve()
    if not real.is_relative_to(base) or not real.exists():
        raise UsageError(
            f"the symbolic link {link} points outside of the folder, or nowhere",
            hint="replace it by the file, or leave it out with .leptonignore",
        )
    if aim.is_absolute():
        aim = Path(os.path.relpath(real, link.resolve().parent if link.is_dir() else link.parent.resolve()))
    return aim.as_posix()


def _rel(place: Path, root: Path) -> str:
    return place.relative_to(root).as_posix()


def _rules(file: Path) -> list[str]:
    if not file.is_file():
        return []
    lines = (line.strip() for line in file.read_text(encoding="utf-8").splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def _ignored(path: str, is_folder: bool, rules: list[str]) -> bool:
    """The last rule that fits decides; a rule with a leading '!' keeps, one with a trailing '/' means folders."""
    verdict = False
    for line in rules:
        rule, keep = (line[1:], True) if line.startswith("!") else (line, False)
        if rule.endswith("/") and not is_folder:
            continue
        pattern = rule.strip("/")
        whole = "/" in pattern or rule.startswith("/")
        subject = path if whole else PurePosixPath(path).name
        if fnmatch.fnmatchcase(subject, pattern):
            verdict = not keep
    return verdict
