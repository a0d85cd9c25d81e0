"""Which files of a path go into a version: folders, symbolic links, the executable bit, ``.leptonignore``."""

from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

import msgspec
from msgspec.structs import replace

from lepton_ai.errors import NotFound, StorageFailed, UsageError
from lepton_ai.formats.contract import Source, check_range
from lepton_ai.history import given
from lepton_ai.history.home import DRAFT
from lepton_ai.history.paths import folders, follow, refuse_inside_home, trouble
from lepton_ai.history.staging import PART
from lepton_ai.store.durable import storage_errors

IGNORE_FILE = ".leptonignore"
ALWAYS_IGNORED = (
    ".lepton",
    ".git",
    "__pycache__/",
    ".DS_Store",
    IGNORE_FILE,
    f".*{PART}",  # what killed checkouts and exports left
    f"{DRAFT}*/",  # and killed inits and restores: wrapped keys are among it
)


class Found(msgspec.Struct, frozen=True):
    """One file to save: where it goes in the version, where it is now; ``target`` makes it a link inside.

    ``note`` is what whoever saves it should be told. A file that is nowhere has its bytes from ``source``; of one whose
    content a parent version keeps, ``stored`` is the hexadecimal SHA-256, and nothing is read.
    """

    path: str
    place: Path
    size: int = 0
    executable: bool = False
    target: str | None = None
    note: str = ""
    source: Source | None = None
    stored: str = ""

    @property
    def lies_there(self) -> bool:
        """Whether there is a file at ``place`` to be read."""
        return self.target is None and self.source is None and not self.stored

    @property
    def name(self) -> str:
        """The last part of its path in the version."""
        return self.path.rpartition("/")[2]


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
            with storage_errors(self._place):
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


def collect(paths: str | Path | Iterable[str | Path], *, name: str | None = None) -> list[Found]:
    """The files to save, sorted by their path in the version.

    One folder gives its content; a file, or several paths, give themselves by their own names. ``name`` renames a
    single file.

    Raises:
        NotFound: a path does not exist.
        StorageFailed: a folder in it cannot be read.
        UsageError: nothing to save, two files of the same name, or a path that is neither file nor folder.
    """
    places = _places(paths)
    for place in places:
        refuse_inside_home(place)
    return gather(places, name=name)


def gather(places: list[Path], *, name: str | None = None) -> list[Found]:
    """As :func:`collect`, also in a repository's own folder, where models are staged."""
    found: list[Found] = []
    for place in places:
        if not os.path.exists(place):  # noqa: PTH110  (Path.exists raises for a name that is too long)
            raise NotFound(f"there is no file {place}", hint="check the path")
        with storage_errors(place):
            if place.is_dir():
                prefix = "" if len(places) == 1 else place.resolve().name + "/"
                found += [replace(file, path=prefix + file.path) for file in _walk(place)]
            else:
                found.append(_file(place, name or place.name))
    if not found:
        raise UsageError(
            f"{places[0]} has no files to save", hint="look at .leptonignore, or name another folder"
        )
    return check_and_sort(found)


def check_and_sort(found: Iterable[Found]) -> list[Found]:
    """The files by their paths, which must be those of one folder.

    Raises:
        UsageError: two have one path, one is a file and a folder, a path or link cannot be kept.
    """
    files = sorted(found, key=lambda file: file.path)
    problem = trouble([(file.path, file.target) for file in files])
    if problem:
        raise UsageError(problem, hint="rename it, or leave it out with .leptonignore")
    return files


def _places(paths: object) -> list[Path]:
    listed = [paths] if isinstance(paths, str | os.PathLike) else paths
    if isinstance(listed, bytes) or not isinstance(listed, Iterable):
        raise UsageError(f"{paths!r} is no path", hint="give the path of a file or folder")
    places = [given.path(path, "what to save") for path in listed]
    if not places:
        raise UsageError("no path was given to save", hint="name a file or folder")
    return places


def _walk(root: Path) -> list[Found]:
    rules = [*ALWAYS_IGNORED, *_rules(root / IGNORE_FILE)]
    found: list[Found] = []
    links: dict[str, Path] = {}
    empty: list[str] = []
    for folder, folders_, files in os.walk(root, followlinks=False, onerror=_unreadable):
        here = Path(folder)
        empty += [] if folders_ or files else [_rel(here, root)]
        linked = [name for name in folders_ if (here / name).is_symlink()]
        folders_[:] = sorted(
            n for n in folders_ if n not in linked and not _ignored(_rel(here / n, root), True, rules)
        )
        for name in sorted([*files, *linked]):
            place = here / name
            path = _rel(place, root)
            if _ignored(path, False, rules):
                continue
            if place.is_symlink():
                links[path] = place
            else:
                found.append(_file(place, path))
    found += _links(root.resolve(), links, {file.path for file in found})
    if found and empty:
        more = f" and {len(empty) - 1} more" if len(empty) > 1 else ""
        found[0] = replace(
            found[0], note=f"the empty folder {min(empty)}{more} is left out: versions hold files"
        )
    return found


def _unreadable(problem: OSError) -> None:
    raise StorageFailed(
        f"{problem.filename} cannot be read: {problem.strerror}",
        hint="check its permissions, or leave it out with .leptonignore",
    ) from problem


def _file(place: Path, path: str) -> Found:
    status = place.stat()
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{place} is neither a file nor a folder", hint="leave it out with .leptonignore")
    return Found(path, place, status.st_size, bool(status.st_mode & stat.S_IXUSR))


def _links(base: Path, links: Mapping[str, Path], paths: set[str]) -> list[Found]:
    """The links, each with a target that leads to something in the version, wherever the version is put.

    Raises:
        UsageError: one leads outside, nowhere, or to what is left out.
    """
    written = {path: place.readlink().as_posix() for path, place in links.items()}
    there = paths | folders([*paths, *links])
    found = []
    for path, place in links.items():
        target = written[path]
        if follow(path, target, written) not in there:
            target = _mended(place, base, there)
        found.append(Found(path, place, target=target))
    return found


def _mended(link: Path, base: Path, there: set[str]) -> str:
    """The shortest way inside ``base`` to where a link leads by a detour."""
    try:
        real = link.resolve(strict=True)
    except (OSError, RuntimeError):
        real = None
    if real is None or not real.is_relative_to(base):
        raise UsageError(
            f"the symbolic link {link} points outside of the folder, or nowhere",
            hint="replace it by the file, or leave it out with .leptonignore",
        )
    aim = _rel(real, base)
    if (aim if aim != "." else "") not in there:
        raise UsageError(
            f"the symbolic link {link} points at {aim}, which is not saved",
            hint="leave the link out too with .leptonignore, or save what it points at",
        )
    return Path(os.path.relpath(real, link.parent.resolve())).as_posix()


def _rel(place: Path, root: Path) -> str:
    return place.relative_to(root).as_posix()


def _rules(file: Path) -> list[str]:
    if not file.is_file():
        return []
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text", hint="save it anew as UTF-8") from None
    lines = (line.strip() for line in text.splitlines())
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
