"""The cache of one model: snapshots of its revisions, which link into blobs.

Source: https://huggingface.co/docs/huggingface_hub/guides/manage-cache (``trees``: since 2.0).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.incoming.contract import Arrival, File, Left
from lepton_ai.incoming.folder_facts import facts
from lepton_ai.incoming.huggingface.reading import COMMIT, MAIN, Local, modified, reader, walk
from lepton_ai.incoming.values import mapping, parsed

PREFIX = "models--"


class _Snapshot(msgspec.Struct, frozen=True):
    """A revision that was downloaded, and when (microseconds since 1970)."""

    commit: str
    folder: Path
    at: int


class HubCache(Local):
    """A :class:`~lepton_ai.incoming.contract.Source`: every ref is a branch; earlier revisions come before main's."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.place = str(folder)
        self.scope = folder.name.removeprefix(PREFIX).replace("--", "/")
        self._refs = _refs(folder / "refs")
        snapshots = (_snapshot(child) for child in (folder / "snapshots").iterdir() if child.is_dir())
        self._snapshots = sorted(snapshots, key=lambda snapshot: (snapshot.at, snapshot.commit))
        if not self._snapshots:
            raise UsageError(f"{folder} has no revision in its snapshots", hint="download one: hf download")
        self._unlisted = False

    def arrivals(self) -> Iterator[Arrival]:
        """Revisions in the order of their download, those of main in one line."""
        line = self._line()
        before: str | None = None
        for snapshot in line:
            yield self._arrival(snapshot, MAIN, before)
            before = snapshot.commit
        for name, commit in self._others(line).items():
            for snapshot in self._snapshots:
                if snapshot.commit == commit:
                    yield self._arrival(snapshot, name, None)

    def branches(self) -> Mapping[str, str]:
        """Refs that have a revision here, and revisions that no ref means and that are younger than main's."""
        line = self._line()
        there = {snapshot.commit for snapshot in self._snapshots}
        refs = {name: commit for name, commit in self._refs.items() if commit in there}
        return {MAIN: line[-1].commit} | refs | self._others(line)

    def left(self) -> Sequence[Left]:
        """What a cache does not know."""
        owner = self.scope.partition("/")[0]
        found = [
            Left(
                "authors, times and messages of the revisions",
                f"a cache does not keep them: they are signed {owner!r}, with the time of their download",
            )
        ]
        if self._unlisted:
            found.append(
                Left(
                    "files that were not downloaded", "the cache does not say which files its revisions have"
                )
            )
        return found

    def _line(self) -> list[_Snapshot]:
        """Main's revision, and before it the older ones that no other ref means."""
        newest = self._snapshots[-1].commit
        main = self._refs.get(MAIN) or next(iter(self._refs.values()), newest)
        last = next((s for s in self._snapshots if s.commit == main), self._snapshots[-1])
        named = set(self._refs.values())
        older = (
            s for s in self._snapshots if s.commit not in named and (s.at, s.commit) < (last.at, last.commit)
        )
        return [*older, last]

    def _others(self, line: Sequence[_Snapshot]) -> dict[str, str]:
        """Branch → revision, of revisions that are not in the main line; each once."""
        told = {snapshot.commit for snapshot in line}
        found: dict[str, str] = {}
        names = {commit: name for name, commit in sorted(self._refs.items(), reverse=True)}
        for snapshot in self._snapshots:
            if snapshot.commit not in told:
                found[names.get(snapshot.commit, f"revision-{snapshot.commit[:8]}")] = snapshot.commit
        return found

    def _arrival(self, snapshot: _Snapshot, branch: str, before: str | None) -> Arrival:
        files = {file.path: file for file in walk(snapshot.folder)}
        for path, file in self._listed(snapshot.commit).items():
            there = files.get(path)
            files[path] = file if there is None else msgspec.structs.replace(there, check=file.check)
        read = reader(files)
        told = facts([path for path, file in files.items() if not file.lacking], read)
        return Arrival(
            snapshot.commit,
            branch,
            tuple(files.values()),
            self.scope.partition("/")[0],
            snapshot.at,
            f"revision {snapshot.commit[:12]} of {self.scope}",
            (before,) if before else (),
            params=told.params,
            metrics=told.metrics,
            curves=told.curves,
            dataset=told.dataset,
        )

    def _listed(self, commit: str) -> dict[str, File]:
        """Every file that a revision has on the hub, as far as the cache knows; none of them at a place."""
        file = self._folder / "trees" / f"{commit}.json"
        told = mapping(parsed(file.name, file.read_bytes())) if file.is_file() else {}
        self._unlisted = self._unlisted or not told
        found: dict[str, File] = {}
        for path, entry in mapping(told.get("files")).items():
            sha256, git = mapping(entry).get("lfs_sha256"), mapping(entry).get("blob_id")
            check = ("sha256", str(sha256)) if sha256 else ("git", str(git)) if git else None
            found[str(path)] = File(str(path), check=check, lacking="it was not downloaded into the cache")
        return found


def is_model_cache(folder: Path) -> bool:
    """Whether a folder is the cache of one model."""
    return folder.name.startswith(PREFIX) and (folder / "snapshots").is_dir()


def _refs(folder: Path) -> dict[str, str]:
    """Ref → commit; a pull request's ``refs/pr/1`` is called ``pr/1``."""
    found: dict[str, str] = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            commit = file.read_text(encoding="utf-8", errors="replace").strip()
            name = file.relative_to(folder).as_posix().removeprefix("refs/")
            if COMMIT.fullmatch(commit) and not COMMIT.fullmatch(name):
                found[name] = commit
    return found


def _snapshot(folder: Path) -> _Snapshot:
    """When it was downloaded: the links are made then, and stay; a folder's own time changes with what is added."""
    times = [child.lstat().st_mtime_ns // 1000 for child in folder.rglob("*") if not child.is_dir()]
    return _Snapshot(folder.name, folder, min(times, default=modified(folder)))
