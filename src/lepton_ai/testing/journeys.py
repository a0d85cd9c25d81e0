"""A state machine over a whole repository, held against a plain model of what people expect (DESIGN §4)."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
)

from lepton_ai import errors
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository


@dataclass(eq=False)
class Expected:
    """A version as the model knows it; ``revisions`` are the bytes of each."""

    name: str
    owner: int
    parent: Expected | None
    revisions: list[bytes]
    ids: list[str]
    high: int
    deleted: str | None = None
    purged: bool = False
    tags: set[str] = field(default_factory=set)
    aliases: set[str] = field(default_factory=set)
    merged: Expected | None = None

    def reached(self) -> set[int]:
        """Itself and all that it comes from, over all parents."""
        found: set[int] = set()
        front = [self]
        while front:
            version = front.pop()
            if id(version) not in found:
                found.add(id(version))
                front += [one for one in (version.parent, version.merged) if one is not None]
        return found

    @property
    def pinned(self) -> bool:
        """Whether a label forbids its deletion."""
        return bool(self.tags or self.aliases)

    @property
    def living(self) -> bool:
        """Neither deleted nor purged."""
        return self.deleted is None and not self.purged


@dataclass(eq=False)
class Line:
    """A branch as the model knows it."""

    name: str
    number: int
    head: Expected | None
    high: int = 0
    alive: bool = True
    deleted_at: int = 0
    stepped_back: list[Expected] = field(default_factory=list)

    def chain(self) -> list[Expected]:
        """Versions from the newest to the first, over first parents."""
        found, version = [], self.head
        while version is not None:
            found.append(version)
            version = version.parent
        return found

    def reached(self) -> set[int]:
        """All that the branch comes from, over all parents."""
        return self.head.reached() if self.head is not None else set()


class RepositoryMachine(RuleBasedStateMachine):
    """Save, update, branch, rename, merge, roll back, delete, restore, label, collect, repack: always compared."""

    versions: Bundle[Expected] = Bundle("versions")
    lines: Bundle[Line] = Bundle("lines")

    @initialize(target=lines)
    def begin(self) -> Line:
        """An empty repository with main."""
        self.folder = Path(tempfile.mkdtemp(prefix="lepton-machine-"))
        self.repo = ModelRepository(self.folder / "repo", author="anna")
        self.all: list[Expected] = []
        self.branches = [Line("main", 0, None)]
        self.aliases: dict[str, tuple[Expected, str]] = {}
        self.step = self.opened = 0
        return self.branches[0]

    def teardown(self) -> None:
        """Everything living reads back exactly, in every revision; the repository verifies."""
        if not hasattr(self, "repo"):
            return
        try:
            for version in self.all:
                if version.living:
                    for number in range(len(version.ids)):
                        self._check(version, number)
            assert self.repo.verify().clean
        finally:
            self.repo.close()
            shutil.rmtree(self.folder)

    @rule(target=versions, line=lines, data=st.binary(max_size=200), size=st.sampled_from([0, 5000]))
    def save(self, line: Line, data: bytes, size: int) -> MultipleResults[Expected] | Expected:
        """The next version of a branch."""
        if not line.alive:
            return multiple()
        file = self._file(data + bytes(size))
        version = self.repo.save_files(file, line.name)
        return self._grown(line, version.name, file.read_bytes(), version.id)

    @rule(version=versions, data=st.binary(max_size=200))
    def update(self, version: Expected, data: bytes) -> None:
        """A new revision; refused for a deleted version."""
        file = self._file(data)
        try:
            done = self.repo.update_version(version.ids[-1], file)
        except errors.NotFound:
            assert not version.living
        else:
            assert version.living
            version.revisions.append(data)
            version.ids.append(done.id)

    @rule(target=lines, version=versions, namesake=lines)
    def create_branch(self, version: Expected, namesake: Line) -> MultipleResults[Line] | Line:
        """A branch from a version; it may be called like a deleted one."""
        name = f"b{len(self.branches)}" if self._taken(namesake.name) else namesake.name
        try:
            self.repo.create_branch(name, self.repo.version(version.ids[-1]))
        except errors.NotFound:
            assert not version.living
            return multiple()
        line = Line(name, len(self.branches), version, version.high)
        self.branches.append(line)
        return line

    @rule(target=versions, line=lines, version=versions)
    def roll_back(self, line: Line, version: Expected) -> MultipleResults[Expected] | Expected:
        """A new version with an older one's content."""
        if not line.alive:
            return multiple()
        try:
            done = self.repo.rollback(version.ids[-1], line.name)
        except errors.NotFound:
            assert not version.living
            return multiple()
        return self._grown(line, done.name, version.revisions[-1], done.id)

    @rule(version=versions)
    def delete(self, version: Expected) -> None:
        """A tombstone; branches that stand on it step back."""
        try:
            self.repo.delete_version(self.repo.version(version.ids[-1], deleted=True))
        except errors.InUse:
            assert version.pinned
        except errors.NotFound:
            assert not version.living
        else:
            assert version.living
            assert not version.pinned
            version.deleted = "alone"
            for line in self.branches:
                if line.alive and line.head is version:
                    line.stepped_back.append(version)
                    line.head = next((v for v in line.chain() if v.living), None)

    @rule(version=versions)
    def restore(self, version: Expected) -> None:
        """The tombstone comes off; no branch moves."""
        try:
            self.repo.restore_version(self.repo.version(version.ids[-1], deleted=True))
        except errors.AlreadyExists:
            assert version.living
        except errors.NotFound:
            assert version.purged
        else:
            assert version.deleted
            version.deleted = None

    @rule(version=versions)
    def tag(self, version: Expected) -> None:
        """A tag on the newest revision forbids deletion."""
        name = f"t{len(version.tags)}-{self.all.index(version)}"
        try:
            self.repo.tag(name, version.ids[-1])
        except errors.NotFound:
            assert not version.living
        else:
            version.tags.add(name)

    @rule(version=versions)
    def untag(self, version: Expected) -> None:
        """Tags come off."""
        while version.tags:
            self.repo.remove_tag(version.tags.pop())

    @rule(name=st.sampled_from(["live", "next"]), version=versions, number=st.integers(0, 9))
    def set_alias(self, name: str, version: Expected, number: int) -> None:
        """An alias moves to some revision, and forbids the deletion of its version."""
        aim = version.ids[number % len(version.ids)]
        try:
            self.repo.set_alias(name, aim)
        except errors.NotFound:
            assert not version.living
        else:
            assert version.living
            self._unalias(name)
            version.aliases.add(name)
            self.aliases[name] = version, aim

    @precondition(lambda self: self.aliases)
    @rule(name=st.sampled_from(["live", "next"]))
    def remove_alias(self, name: str) -> None:
        """Aliases come off."""
        try:
            self.repo.remove_alias(name)
        except errors.NotFound:
            assert name not in self.aliases
        else:
            self._unalias(name)

    @rule(target=versions, source=lines, into=lines)
    def merge(self, source: Line, into: Line) -> MultipleResults[Expected] | Expected:
        """Nothing where there is nothing new, a move where that is enough, else a version with two parents."""
        if not (source.alive and into.alive) or source is into:
            return multiple()
        clash = {v.name for v in into.stepped_back} & {
            v.name for v in source.chain() if v not in into.chain()
        }
        if clash:
            return multiple()
        ours, theirs = into.head, source.head
        try:
            done = self.repo.merge_branch(source.name, into.name, on_conflict="theirs")
        except errors.NotFound:
            assert any(version.purged for version in self.all)
            return multiple()
        if done is None:
            assert theirs is None or id(theirs) in into.reached()
            return multiple()
        if theirs is not None and done.id == theirs.ids[-1]:
            assert ours is None or id(ours) in source.reached()
            into.head, into.high = theirs, max(into.high, source.high)
            return multiple()
        return self._merged(into, ours, theirs, done)

    @precondition(lambda self: any(line.alive for line in self.branches[1:]))
    @rule(which=st.integers(0, 9), name=st.integers(0, 9), fresh=st.booleans())
    def rename_branch(self, which: int, name: int, fresh: bool) -> None:
        """Another name: a new one, or one that another branch has, or had until it was deleted."""
        self.step += 1
        line = self._pick(which)
        old = [other.name for other in self.branches if other is not line]
        self._rename(line, f"r{self.step}" if fresh else old[name % len(old)])

    @precondition(lambda self: {line.alive for line in self.branches[1:]} == {True, False})
    @rule(which=st.integers(0, 9), name=st.integers(0, 9))
    def rename_like_a_deleted_one(self, which: int, name: int) -> None:
        """The deleted one is kept beside."""
        dead = [line.name for line in self.branches if not line.alive]
        self._rename(self._pick(which), dead[name % len(dead)])

    @precondition(lambda self: any(line.alive for line in self.branches[1:]))
    @rule(which=st.integers(0, 9))
    def delete_branch(self, which: int) -> None:
        """Versions that nothing else reaches go with it."""
        line = self._pick(which)
        self.repo.delete_branch(line.name)
        self.step += 1
        line.alive, line.deleted_at = False, self.step
        kept: set[int] = set()
        for other in self.branches:
            if other.alive:
                kept |= other.reached()
                for aside in other.stepped_back:
                    kept |= aside.reached() if aside.living else set()
        for version in self.all:
            if version.pinned:
                kept |= version.reached()
        for version in self._own(line):
            if id(version) not in kept and version.living:
                version.deleted = line.name

    @precondition(lambda self: any(not line.alive for line in self.branches))
    @rule(line=lines)
    def restore_branch(self, line: Line) -> None:
        """What went together with a branch comes back; a newest one that was deleted by itself is stepped over."""
        dead = [other for other in self.branches if not other.alive and other.name == line.name]
        if not dead:
            return
        line = max(dead, key=lambda one: one.deleted_at)
        try:
            self.repo.restore_branch(line.name)
        except errors.AlreadyExists:
            assert self._taken(line.name)
            return
        except errors.NotFound:
            assert line.head is not None
            assert line.head.purged
            return
        assert not self._taken(line.name)
        line.alive = True
        for version in self._own(line):
            if version.deleted not in (None, "alone"):
                version.deleted = None
        line.head = next((version for version in line.chain() if version.living), None)

    @precondition(lambda self: any(version.deleted for version in self.all))
    @rule()
    def collect(self) -> None:
        """Deleted versions lose their bytes; nothing else does."""
        self.step += 1
        self.repo.gc(grace=0)
        for version in self.all:
            if version.deleted is not None:
                version.deleted, version.purged = None, True

    @precondition(lambda self: self.all)
    @rule(max_chain=st.sampled_from([1, 2, 11]))
    def repack(self, max_chain: int) -> None:
        """Nobody sees any difference."""
        done = self.repo.repack(max_chain=max_chain)
        assert done.after.longest_chain <= max_chain
        assert done.waiting == done.running == ()
        assert done.unreadable == 0

    @precondition(lambda self: len(self.all) > self.opened)
    @rule()
    def open_again(self) -> None:
        """Another process would see the same."""
        self.opened = len(self.all)
        self.repo.close()
        self.repo = ModelRepository(self.folder / "repo", author="anna", create=False)

    @invariant()
    def lists_agree(self) -> None:
        """Names by branch, heads and the list of all are what the model says."""
        if not hasattr(self, "repo"):
            return
        for line in self.branches:
            if not line.alive:
                continue
            head = self.repo.branch(line.name).head
            assert (head.id if head else None) == (line.head.ids[-1] if line.head else None)
            expected = {v.ids[-1] for v in [*line.chain(), *line.stepped_back] if v.living}
            assert {info.id for info in self.repo.list_versions(line.name)} == expected
        assert {i.id for i in self.repo.list_versions()} == {v.ids[-1] for v in self.all if v.living}

    @invariant()
    def no_branch_is_lost(self) -> None:
        """Deleted ones are kept, also when another one has taken their name."""
        if hasattr(self, "repo"):
            history = self.repo.home.history
            assert len(history.scan("branch/")) + len(history.scan("gone/")) == len(self.branches)

    @invariant()
    def labels_agree(self) -> None:
        """Aliases mean the revisions that they were set to."""
        if hasattr(self, "repo"):
            assert {n: v.id for n, v in self.repo.aliases().items()} == {
                name: aim for name, (_, aim) in self.aliases.items()
            }

    @invariant()
    def one_reads_back(self) -> None:
        """Some living version reads back exactly."""
        living = [version for version in getattr(self, "all", []) if version.living]
        if living:
            version = living[len(living) * 7 // 11]
            self._check(version, len(version.ids) - 1)

    def _rename(self, line: Line, new: str) -> None:
        try:
            self.repo.rename_branch(line.name, new)
        except errors.AlreadyExists:
            assert self._taken(new)
        else:
            assert not self._taken(new)
            line.name = new

    def _own(self, line: Line) -> list[Expected]:
        """All that a branch comes from, and what it stepped back behind."""
        reached = line.reached() | {id(version) for version in line.stepped_back}
        return [version for version in self.all if id(version) in reached]

    def _pick(self, which: int) -> Line:
        """A living branch that is not main."""
        living = [line for line in self.branches[1:] if line.alive]
        return living[which % len(living)]

    def _taken(self, name: str) -> bool:
        return any(line.alive and line.name == name for line in self.branches)

    def _unalias(self, name: str) -> None:
        before = self.aliases.pop(name, None)
        if before is not None:
            before[0].aliases.discard(name)

    def _grown(self, line: Line, name: str, data: bytes, version_id: str) -> Expected:
        line.high += 1
        assert name == f"v{line.high}"
        version = Expected(name, line.number, line.head, [data], [version_id], line.high)
        line.head = version
        self.all.append(version)
        return version

    def _merged(self, into: Line, ours: Expected | None, theirs: Expected | None, done: Version) -> Expected:
        """A version with two parents; equal contents stay what they are."""
        assert ours is not None
        assert theirs is not None
        assert done.parents == (ours.ids[-1], theirs.ids[-1])
        out = self.folder / "merged"
        done.checkout(out)
        data = (out / "model.bin").read_bytes()
        shutil.rmtree(out)
        if ours.revisions[-1] == theirs.revisions[-1]:
            assert data == ours.revisions[-1]
        version = self._grown(into, done.name, data, done.id)
        version.merged = theirs
        return version

    def _file(self, data: bytes) -> Path:
        file = self.folder / "model.bin"
        file.write_bytes(data)
        return file

    def _check(self, version: Expected, number: int) -> None:
        out = self.folder / "out"
        self.repo.checkout(self.repo.version(version.ids[number]), out)
        assert (out / "model.bin").read_bytes() == version.revisions[number]
        shutil.rmtree(out)
