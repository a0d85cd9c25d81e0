"""What every source in git does alike: it goes through the commits, asks what counts of each, and tells versions."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.provenance import without_secrets
from lepton_ai.incoming.contract import Arrival, File, Kind, Label, Left
from lepton_ai.incoming.git import commits as reading
from lepton_ai.incoming.git.commits import Commit
from lepton_ai.incoming.git.course import Course
from lepton_ai.incoming.git.objects import Objects
from lepton_ai.types import Code

BOOKKEEPING = frozenset({".gitattributes", ".gitignore", ".gitmodules", ".lfsconfig", ".dvcignore"})


class Content(Protocol):
    """What counts of commits, as one tool keeps it."""

    kind: Kind

    def summary(self, tree: str) -> Hashable | None:
        """What of a commit's tree makes it a version: equal ones are the same version. None: nothing in it."""

    def arrival(self, tree: str, bare: Arrival) -> Arrival:
        """``bare`` with files, metrics and all else that the tree tells."""

    def left(self) -> list[Left]:
        """What cannot be taken over from any commit."""

    def nothing(self) -> str:
        """Why no commit is a version, and what to do."""


class GitSource:
    """A :class:`~lepton_ai.incoming.contract.Source` over a git repository. ``paths``: the only ones that count."""

    def __init__(self, objects: Objects, content: Content, paths: Sequence[str]) -> None:
        self._objects, self._content = objects, content
        self.kind = content.kind
        self.place = str(objects.folder)
        self.scope = " ".join(sorted(paths))
        self._refs = reading.refs(objects)
        self.main = self._refs.main
        self._course: Course | None = None

    def arrivals(self) -> Iterator[Arrival]:
        """Commits that changed what counts."""
        found = reading.commits(self._objects, self._refs)
        course = self._course = Course(found, lambda commit: self._content.summary(commit.tree))
        if not course.parents:
            raise UsageError(
                f"no commit in {self.place} has anything to take: {self._content.nothing()}",
                hint="name the paths with --path, or the kind of source with --from",
            )
        lines = course.lines(self._refs.branches, self.main)
        remote = without_secrets(reading.remote(self._objects))
        for commit in found:
            if commit.id in course.parents:
                bare = self._bare(commit, lines[commit.id], course.parents[commit.id], remote)
                yield self._content.arrival(commit.tree, bare)

    def branches(self) -> Mapping[str, str]:
        """Branches that have a version."""
        return self._told().branches(self._refs.branches)

    def labels(self) -> Sequence[Label]:
        """Tags, each on the version that its commit is or comes from."""
        version_of = self._told().version_of
        return [
            Label("tag", tag.name, version_of.get(tag.commit) or tag.commit, tag.message)
            for tag in self._refs.tags
        ]

    def left(self) -> Sequence[Left]:
        """That the history is cut, where it is, and what the content has to say."""
        cut = self._objects.ask("rev-parse", "--is-shallow-repository").strip() == "true"
        shallow = [Left("the older history", "this is a shallow clone: git fetch --unshallow brings it")]
        return [*(shallow if cut else []), *self._content.left()]

    def write(self, file: File, target: Path) -> None:
        """Write a file that git keeps."""
        self._objects.write(file.blob, target)

    def close(self) -> None:
        """End git's processes."""
        self._objects.close()

    def _told(self) -> Course:
        if self._course is None:
            raise AssertionError("the arrivals are told first")
        return self._course

    def _bare(self, commit: Commit, branch: str, parents: tuple[str, ...], remote: str) -> Arrival:
        return Arrival(
            commit.id,
            branch,
            (),
            commit.author,
            commit.created_at,
            f"git commit {commit.id[:12]}",
            parents,
            commit.message,
            code=Code(commit.id, remote, branch),
        )


def selected(path: str, paths: Sequence[str]) -> bool:
    """Whether ``path`` is one of ``paths`` or lies in one; everything is when none is given."""
    return not paths or any(path == p or path.startswith(p + "/") or p == "." for p in paths)


def is_bookkeeping(path: str) -> bool:
    """Whether a file is git's or a tool's own, and no part of a model."""
    return PurePosixPath(path).name in BOOKKEEPING


def plain_paths(paths: Sequence[str]) -> tuple[str, ...]:
    """Paths as git writes them."""
    return tuple(Path(path).as_posix() for path in paths)


class Small(msgspec.Struct):
    """Small files of a repository, read once each."""

    objects: Objects
    kept: dict[str, bytes] = {}

    def read(self, oid: str, largest: int) -> bytes | None:
        """The bytes of a blob; None when it is larger than ``largest``, or not there."""
        if oid not in self.kept:
            size = self.objects.size(oid)
            if size is None or size > largest:
                return None
            self.kept[oid] = self.objects.read(oid) or b""
        return self.kept[oid]
