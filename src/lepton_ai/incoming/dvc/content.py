"""What counts of a commit in a DVC project: everything that DVC keeps, with its metrics and params."""

from __future__ import annotations

import csv
import io
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
from msgspec.structs import replace

from lepton_ai.history.provenance import without_secrets
from lepton_ai.incoming.contract import Arrival, File, Kind, Left
from lepton_ai.incoming.dvc import stated
from lepton_ai.incoming.dvc.cache import Cache
from lepton_ai.incoming.dvc.stated import Out, Stated
from lepton_ai.incoming.git.commits import newest_paths
from lepton_ai.incoming.git.objects import EXECUTABLE, LINK, Entry, Objects
from lepton_ai.incoming.git.told import Small, is_bookkeeping, selected
from lepton_ai.incoming.values import LARGEST, flat, is_number, parsed
from lepton_ai.types import Dataset

STEPS = frozenset({"step", "timestamp", "epoch"})
"""Columns of a plot that are no curve."""


class _Tracked(msgspec.Struct, frozen=True):
    """What DVC has in one tree: ``outs``, what stages read, and which git files say metrics, params and curves."""

    outs: tuple[Out, ...]
    data: tuple[tuple[str, str], ...]
    params: tuple[tuple[str, Any], ...]
    files: tuple[tuple[str, Entry], ...]
    metric_files: tuple[str, ...]
    param_files: tuple[str, ...]
    plots: tuple[str, ...]


class DvcContent:
    """A :class:`~lepton_ai.incoming.git.told.Content`. With ``paths`` files that git itself keeps there count, too."""

    kind: Kind = "dvc"

    def __init__(self, objects: Objects, top: Path, paths: Sequence[str], more: Sequence[Path]) -> None:
        self._objects, self._paths = objects, paths
        self._small = Small(objects)
        self._cache = Cache(_projects(objects, top), more)
        self._trees: dict[str, _Tracked] = {}
        self._lacking = False
        self._unread: dict[str, tuple[str, str]] = {}

    def summary(self, tree: str) -> Hashable | None:
        """Checksums of what is kept, and the git files with metrics, params and curves."""
        tracked = self._tracked(tree)
        if not tracked.outs and not (self._paths and tracked.files):
            return None
        outs = tuple((out.path, out.md5, out.listing) for out in tracked.outs)
        return outs, repr(tracked.params), tuple((path, e.oid, e.mode) for path, e in tracked.files)

    def arrival(self, tree: str, bare: Arrival) -> Arrival:
        """The files from the cache, and what the small files say."""
        tracked = self._tracked(tree)
        entries = dict(tracked.files)
        left: list[Left] = []
        metrics = self._metrics(tracked, entries, bare, left)
        params: dict[str, Any] = {}
        for path in tracked.param_files:
            params |= dict(flat(self._value(path, entries)))
        params |= dict(tracked.params)
        return replace(
            bare,
            files=tuple(self._files(tracked, entries)),
            params=params,
            metrics=metrics,
            curves=self._curves(tracked, entries),
            dataset=_dataset(tracked),
            left=(*bare.left, *left),
        )

    def left(self) -> list[Left]:
        """Files of DVC that cannot be read, and remotes that are no folders, when something was lacking."""
        unread = [
            Left(f"what {path} says", why, f"git blob {oid}") for oid, (path, why) in self._unread.items()
        ]
        if not self._lacking:
            return unread
        return unread + [
            Left(
                f"the remote {without_secrets(remote)}",
                "it is no folder here: dvc fetch --all-commits brings its objects into the cache; then import again",
            )
            for remote in dict.fromkeys(self._cache.remotes)
        ]

    def nothing(self) -> str:
        """As the contract says."""
        unread = "".join(f"; {path} cannot be read: {why}" for path, why in self._unread.values())
        return "DVC keeps nothing there" + (" below " + " ".join(self._paths) if self._paths else "") + unread

    def _tracked(self, tree: str) -> _Tracked:
        if tree not in self._trees:
            self._trees[tree] = self._look(self._objects.files(tree))
        return self._trees[tree]

    def _look(self, entries: Mapping[str, Entry]) -> _Tracked:
        all_: list[Stated] = []
        raw: set[str] = set()
        for path, entry in entries.items():
            name = PurePosixPath(path).name
            if name == "dvc.yaml":
                told, folders = stated.of_yaml(path, self._read(entry))
                lock = f"{path.removesuffix('.yaml')}.lock"
                all_.append(self._noted(path, entry, told))
                if lock in entries:
                    locked = stated.of_lock(lock, self._read(entries[lock]), folders)
                    all_.append(self._noted(lock, entries[lock], locked))
            elif name.endswith(".dvc") and name != ".dvc" and ".dvc" not in PurePosixPath(path).parts[:-1]:
                told = stated.of_dvc_file(path, self._read(entry))
                raw |= {out.path for out in told.outs}
                all_.append(told)
        outs = {out.path: out for told in all_ for out in told.outs if out.path not in entries}
        kept = tuple(out for path, out in sorted(outs.items()) if self._wanted(path))
        metrics, params, plots = (
            tuple(dict.fromkeys(path for told in all_ for path in getattr(told, of)))
            for of in ("metric_files", "param_files", "plots")
        )
        small = {p for p in entries if p in {*metrics, *params} or any(_below(p, plot) for plot in plots)}
        small |= {p for p in entries if self._plain(p)}
        return _Tracked(
            kept,
            tuple((p, md5) for told in all_ for p, md5 in told.deps if any(_below(p, out) for out in raw)),
            tuple(pair for told in all_ for pair in told.params),
            tuple((path, entries[path]) for path in sorted(small)),
            metrics,
            params,
            plots,
        )

    def _noted(self, path: str, entry: Entry, told: Stated) -> Stated:
        """The same; that nothing of it can be read is told at the end."""
        if told.unread:
            self._unread[entry.oid] = path, told.unread
        return told

    def _plain(self, path: str) -> bool:
        """Whether a file that git keeps itself was asked for."""
        return bool(self._paths) and selected(path, self._paths) and not is_bookkeeping(path)

    def _wanted(self, path: str) -> bool:
        return selected(path, self._paths) or any(_below(wanted, path) for wanted in self._paths)

    def _files(self, tracked: _Tracked, entries: Mapping[str, Entry]) -> Iterable[File]:
        for out in tracked.outs:
            yield from (file for file in self._of(out) if selected(file.path, self._paths))
        for path, entry in entries.items():
            if self._plain(path):
                size = self._objects.size(entry.oid)
                lacking = "" if size is not None else "git has not fetched it (a partial clone)"
                target = (self._small.read(entry.oid, LARGEST) or b"").decode("utf-8", "replace")
                yield File(
                    path, size=size or 0, blob=entry.oid, executable=bool(entry.mode & EXECUTABLE),
                    target=target if entry.mode == LINK else None, lacking=lacking,
                )  # fmt: skip

    def _of(self, out: Out) -> Iterable[File]:
        if out.why:
            return [File(out.path, lacking=out.why)]
        listing = list(out.listing) or None
        if listing is None and not out.md5.endswith(".dir"):
            return [self._one(out.path, out.md5, out.size, executable=out.executable)]
        listing = listing if listing is not None else self._cache.listing(out.md5)
        if listing is None:
            self._lacking = True
            return [File(out.path, lacking=f"the list of its files, {out.md5}, is in no cache at hand")]
        return [self._one(f"{out.path}/{path}", md5, size) for path, md5, size in listing]

    def _one(self, path: str, md5: str, size: int, *, executable: bool = False) -> File:
        place = self._cache.find(md5) if len(md5) == 32 else None
        if place is None:
            self._lacking = True
            return File(path, size=size, lacking=f"its object {md5} is in no cache or folder at hand")
        return File(path, place, size, executable, check=("md5", md5))

    def _metrics(
        self, tracked: _Tracked, entries: Mapping[str, Entry], bare: Arrival, left: list[Left]
    ) -> dict[str, Any]:
        """All numbers in the files of metrics; those of a second file with the same name get the file's before it."""
        cached = {out.path: out for out in tracked.outs}
        metrics: dict[str, Any] = {}
        for path in tracked.metric_files:
            if path in entries:
                told = self._value(path, entries)
            elif path in cached and (place := self._cache.find(cached[path].md5)) is not None:
                told = parsed(path, place.read_bytes()) if place.stat().st_size <= LARGEST else None
            else:
                continue
            if told is None:
                left.append(Left(f"metrics of {path}", "it is neither JSON, YAML nor TOML", bare.told))
            for name, value in flat(told):
                if is_number(value):
                    metrics[f"{path}:{name}" if name in metrics else name] = value
                else:
                    left.append(
                        Left(f"metric {name} of {path}", f"it is no number: {value!r:.80}", bare.told)
                    )
        return metrics

    def _curves(self, tracked: _Tracked, entries: Mapping[str, Entry]) -> dict[str, list[float]]:
        """Columns of tables that are plotted, as DVCLive writes them."""
        curves: dict[str, list[float]] = {}
        for path, entry in entries.items():
            if path.endswith((".tsv", ".csv")) and any(_below(path, plot) for plot in tracked.plots):
                text = self._read(entry).decode("utf-8", "replace")
                rows = csv.DictReader(io.StringIO(text), delimiter="\t" if path.endswith(".tsv") else ",")
                for row in rows:
                    for column, value in row.items():
                        if column and column not in STEPS and (number := _number(value)) is not None:
                            curves.setdefault(column, []).append(number)
        return curves

    def _value(self, path: str, entries: Mapping[str, Entry]) -> Any:
        return parsed(path, self._read(entries[path])) if path in entries else None

    def _read(self, entry: Entry) -> bytes:
        return self._small.read(entry.oid, LARGEST) or b""


def _projects(objects: Objects, top: Path) -> list[Path]:
    """Folders that have a DVC project, told by the newest commits; the top one always."""
    configs = (path for path in newest_paths(objects) if path.endswith(".dvc/config"))
    found = {PurePosixPath(path).parent.parent for path in configs}
    return [top, *(top / folder for folder in sorted(found) if str(folder) != ".")]


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder + "/")


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _dataset(tracked: _Tracked) -> Dataset | None:
    """What stages read of the data that was added by hand: the first names it, the others are told beside it."""
    if not tracked.data:
        return None
    (name, md5), *more = dict(tracked.data).items()
    return Dataset(name, digest=f"md5:{md5}" if md5 else "", extra=dict(more))
