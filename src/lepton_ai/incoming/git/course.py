"""From all commits to those that are versions: what changed nothing that counts is passed over, merges stay merges."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence

from lepton_ai.incoming.git.commits import Commit

SIDE = "side-"
"""Begins the name of a line that was merged and has no branch any more."""


class Course:
    """``version_of``: commit → the commit that is its version, itself or one before it; None before the first."""

    def __init__(self, commits: Sequence[Commit], content: Callable[[Commit], Hashable | None]) -> None:
        """``content`` is what counts of a commit; None: nothing of it does."""
        self.version_of: dict[str, str | None] = {}
        self.parents: dict[str, tuple[str, ...]] = {}
        """Of the commits that are versions."""
        self._place = {commit.id: number for number, commit in enumerate(commits)}
        contents: dict[str, Hashable] = {}
        for commit in commits:
            here = content(commit)
            before = self._before(commit)
            if here is None or (len(before) == 1 and contents[before[0]] == here):
                self.version_of[commit.id] = before[0] if before else None
                continue
            self.version_of[commit.id] = commit.id
            self.parents[commit.id] = before
            contents[commit.id] = here

    def branches(self, branches: Mapping[str, str]) -> dict[str, str]:
        """Branch → the version that it stands on; branches without any are left out."""
        found = {name: self.version_of.get(commit) for name, commit in branches.items()}
        return {name: version for name, version in found.items() if version is not None}

    def lines(self, branches: Mapping[str, str], main: str) -> dict[str, str]:
        """Version → the branch that it was made on: the main one goes first, and what no branch has is a side line."""
        found: dict[str, str] = {}
        tips = self.branches(branches)
        for name in sorted(tips, key=lambda name: (name != main, name)):
            self._walk(tips[name], name, found)
        for version in reversed(self.parents):
            if version not in found:
                self._walk(version, SIDE + version[:8], found)
        return found

    def _walk(self, start: str, name: str, found: dict[str, str]) -> None:
        current: str | None = start
        while current is not None and current not in found:
            found[current] = name
            parents = self.parents[current]
            current = parents[0] if parents else None

    def _before(self, commit: Commit) -> tuple[str, ...]:
        """Versions that a commit builds upon, without those that others of them come from."""
        found = [self.version_of.get(parent) for parent in commit.parents]
        several = tuple(dict.fromkeys(version for version in found if version is not None))
        if len(several) < 2:
            return several
        return tuple(v for v in several if not any(self._comes_from(o, v) for o in several if o != v))

    def _comes_from(self, version: str, ancestor: str) -> bool:
        """Whether ``ancestor`` is before ``version``; only what is younger than it is looked at."""
        front, seen = [version], {version}
        while front:
            for parent in self.parents[front.pop()]:
                if parent == ancestor:
                    return True
                if parent not in seen and self._place[parent] > self._place[ancestor]:
                    seen.add(parent)
                    front.append(parent)
        return False
