"""From files to stored blocks: everything a save does before it moves a branch."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType

from msgspec.structs import replace

from lepton_ai.errors import Damaged, LostRace, StorageFailed, UsageError
from lepton_ai.formats.contract import Layout, Segment
from lepton_ai.formats.detect import layouts
from lepton_ai.history import manifest as manifests
from lepton_ai.history.bases import Bases
from lepton_ai.history.files import FileSource, Found
from lepton_ai.history.leases import Beating, Lease
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.reading import Reader
from lepton_ai.history.refs.contract import ABSENT, ContentRow, History, Move
from lepton_ai.history.seen import Seen
from lepton_ai.history.source_file import opened
from lepton_ai.history.unchanged import Stored, stored_as, unchanged
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import OPAQUE, Added, Content, Run, Written
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.pairing import Pairing
from lepton_ai.store.store import Store
from lepton_ai.types import Attachment, FileEntry, Record

EPOCH = "gc/epoch"
TINY = 256
"""Bytes below which a block of its own costs more than it could save."""


class CondemnedMeanwhile(LostRace):
    """Garbage collection condemned a pack that this save relied on: the save must begin anew."""

    kind = "condemned-meanwhile"


class Saving:
    """A save under way: holds a lease, writes blocks, and at the end gives what the commit needs.

    Use it with ``with``; leaving it without :meth:`finish` leaves nothing behind but, at worst, an unreferenced pack.
    """

    def __init__(
        self,
        history: History,
        store: Store,
        what: str,
        progress: Progress = SILENT,
        *,
        seen: Seen | None = None,
        turn: bool = False,
    ) -> None:
        self._history, self._store, self._progress, self._seen = history, store, progress, seen
        self._lease = Lease(history, what)
        try:
            self._epoch = self._read_epoch()
            self._avoid = [ref.key.removeprefix("condemned/") for ref in history.scan("condemned/")]
            self._writer = store.writer(Beating(progress, self._lease.beat), avoid=self._avoid, turn=turn)
        except BaseException:
            self._lease.release()
            raise
        self._contents: dict[bytes, ContentRow] = {}
        self._stored: dict[bytes, Content] = {}
        self._tensors: dict[bytes, int] = {}  # how many are told of each content
        self._parents: set[bytes] = set()
        self._written = Written((), frozenset(), frozenset(), 0)
        self.notes: list[str] = []
        self.perhaps_alike = False
        """Whether every large tensor that was stored is the parent's."""

    def __enter__(self) -> Saving:
        self._writer.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._writer.__exit__(kind, error, trace)
        finally:
            self._lease.release()

    def add_files(self, files: list[Found], parent: Record | None) -> tuple[FileEntry, ...]:
        """Store files; those of ``parent`` serve as bases for differences. Returns their entries, sorted by path."""
        real = {file.path: FileSource(file.place, file.size) for file in files if file.lies_there}
        sources = {file.path: file.source for file in files if file.source is not None} | real
        self._progress.start(
            "saving", sum(sources[f.path].size for f in files if f.path in sources and not f.stored)
        )
        known: dict[str, Stored] = {}
        if self._seen is not None:
            known = unchanged(files, self._seen, self._history, self._store, self._avoid)
        asked = {path for path in sources if path not in known or known[path].depends}
        looks = {file.path: _look(file) for file in files if file.path in asked and file.lies_there}
        try:
            found = layouts(sources, only=asked) if asked else {}
        finally:
            for source in real.values():
                source.close()
        known = {path: old for path, old in known.items() if path not in found or old.told_as(found[path])}
        bases = Bases(Reader(self._history, self._store), parent if sources.keys() - known.keys() else None)
        if parent is not None:
            self._parents.update(bytes.fromhex(entry.sha256) for entry in parent.files if entry.sha256)
        entries = tuple(
            self._again(file, known[file.path])
            if file.path in known
            else self._add(file, found, bases, looks.get(file.path))
            for file in files
        )
        self.perhaps_alike = bases.hold(self._stored.values())
        return entries

    def attach(self, data: bytes) -> Attachment:
        """Store a larger thing that belongs to the record; equal ones are stored once."""
        digest = hashlib.sha256(data).digest()
        if digest not in self._contents:
            added = self._writer.add(io.BytesIO(data), [Run(len(data))] if data else [])
            self._keep(added.sha256, Manifest(added.content, "opaque"))
        return Attachment(digest.hex(), len(data))

    def finish(self) -> tuple[ContentRow, ...]:
        """Make everything durable; the rows belong into the commit."""
        self._written = self._writer.finish()
        stored = dict(self._stored)
        rows = dict(self._contents)
        if self._written.superseded:  # the parent's files take less room now
            for row in self._history.contents(self._parents - set(rows)).values():
                with suppress(Damaged):  # then it stays as it was told before
                    stored[row.sha256] = manifests.decode(self._store.get(row.manifest)).content
                    rows[row.sha256] = row
        sizes = {digest: self._store.stored_bytes([content]) for digest, content in stored.items()}
        return tuple(
            ContentRow(row.sha256, row.size, sizes.get(row.sha256, 0), row.manifest) for row in rows.values()
        )

    @property
    def new_bytes(self) -> int:
        """The size of the packs that this save wrote; known when it is finished."""
        return self._written.bytes

    @property
    def packs(self) -> tuple[str, ...]:
        """The packs that this save wrote; known when it is finished."""
        return self._written.packs

    @property
    def superseded(self) -> frozenset[bytes]:
        """Older objects of which other copies are needless once this save counts."""
        return self._written.superseded

    def checks(self) -> Mapping[str, int]:
        """What must still hold when the branch moves; read anew for every try.

        Raises:
            CondemnedMeanwhile: a pack that this save wrote or relies on is about to be deleted, or is gone.
        """
        epoch = self._read_epoch()
        if epoch != self._epoch:
            condemned = {ref.key.removeprefix("condemned/") for ref in self._history.scan("condemned/")}
            there = {info.name for info in self._store.packs()} - condemned
            if not there.issuperset(self._written.packs) or self._store.missing(
                self._written.relied, avoid=condemned
            ):
                raise CondemnedMeanwhile("gc is freeing what this save relied on", hint="repeat it")
            self._epoch = epoch
        return {EPOCH: self._epoch}

    def releases(self) -> tuple[Move, ...]:
        """The move that ends the lease in the same commit.

        Raises:
            CondemnedMeanwhile: gc took this save for dead; its packs may go at any time.
        """
        moves = self._lease.release_move()
        if not moves:
            raise CondemnedMeanwhile("gc took this save for dead", hint="repeat it")
        return moves

    def _add(
        self, file: Found, found: Mapping[str, Layout], bases: Bases, look: tuple[int, ...] | None
    ) -> FileEntry:
        if file.target is not None:
            self._tell(file)
            return FileEntry(file.path, "", 0, target=file.target)
        if file.stored:
            return FileEntry(file.path, file.stored, file.size, executable=file.executable)
        layout = found[file.path]
        self._tell(file, layout.note)
        plan = plan_of(layout.segments)
        if file.source is not None:
            added = self._writer.add(opened(file.source), plan, bases.for_file(file.path))
            return self._added(file, added, layout)
        with storage_errors(file.place):  # it may have gone, or closed itself to us, since it was found
            try:
                added = self._read(file, plan, bases.for_file(file.path))
            except UsageError as problem:
                if file.place.stat().st_size == sum(run.length for run in plan):
                    raise
                raise _changed(file) from problem
        if _look(file) != look:  # since before its layout was read
            raise _changed(file)
        return self._added(file, added, layout)

    def _read(self, file: Found, plan: list[Run], base: Pairing | None) -> Added:
        """Take the bytes of a file on the disk, and remember how it looked."""
        with file.place.open("rb") as handle:
            if self._seen is None:
                return self._writer.add(handle, plan, base)
            sight = self._seen.look(handle.fileno())
            begun = self._seen.begun(sight)
            added = self._writer.add(handle, plan, base, begun=begun)
            if self._seen.remember(sight, handle.fileno(), file.name, added.sha256) or begun is None:
                return added
            handle.seek(0)  # it was touched meanwhile: what was hashed before may not be what was read
            return self._writer.add(handle, plan, base)

    def _added(self, file: Found, added: Added, layout: Layout) -> FileEntry:
        self._keep_best(added.sha256, Manifest(added.content, layout.format, layout.tensors, layout.note))
        return FileEntry(file.path, added.sha256.hex(), added.size, executable=file.executable)

    def _again(self, file: Found, old: Stored) -> FileEntry:
        """Take a file that has not changed by what is stored of it."""
        self._tell(file, old.manifest.note)
        self._rely(old)
        self._progress.advance(file.size)
        return FileEntry(file.path, old.row.sha256.hex(), file.size, executable=file.executable)

    def _rely(self, old: Stored) -> None:
        digest = old.row.sha256
        if self._tensors.get(digest, -1) <= len(old.manifest.tensors):
            self._writer.rely(old.ids)
            self._contents[digest], self._stored[digest] = old.row, old.manifest.content
            self._tensors[digest] = len(old.manifest.tensors)

    def _tell(self, file: Found, opaque: str = "") -> None:
        """Note what is to be said of a file; ``opaque``: why no reader understood it."""
        notes = [file.note, opaque and f"{file.path} is kept as opaque bytes: {opaque}"]
        self.notes += [note for note in notes if note]

    def _keep_best(self, digest: bytes, manifest: Manifest) -> None:
        """Keep what tells most tensors: versions share it, and here a neighbour may be cut, or the name another."""
        row = None if digest in self._contents else self._history.contents([digest]).get(digest)
        old = stored_as(row, self._store, self._avoid) if row is not None else None
        if old is not None and len(old.manifest.tensors) > len(manifest.tensors):
            self._rely(old)
        elif self._tensors.get(digest, -1) <= len(manifest.tensors):
            self._keep(digest, manifest)

    def _keep(self, digest: bytes, manifest: Manifest) -> None:
        object_id = self._writer.put(manifests.encode(replace(manifest, sha256=digest)))
        self._contents[digest] = ContentRow(digest, manifest.content.size, 0, object_id)
        self._stored[digest] = manifest.content
        self._tensors[digest] = len(manifest.tensors)

    def _read_epoch(self) -> int:
        ref = self._history.get([EPOCH]).get(EPOCH)
        return ref.stamp if ref else ABSENT


def _look(file: Found) -> tuple[int, ...]:
    """What tells one state of a file from another."""
    with storage_errors(file.place):
        stat = file.place.stat()
    return stat.st_size, stat.st_mtime_ns, stat.st_ino, stat.st_dev


def _changed(file: Found) -> StorageFailed:
    return StorageFailed(f"{file.place} changed while it was being saved", hint="repeat when it is complete")


def plan_of(segments: Iterable[Segment]) -> list[Run]:
    """How a file is cut: a stream for every tensor; tiny ones stay with the opaque bytes around them.

    Tensors are found by where they are in the file, so nothing depends on which of them have a stream.
    """
    plan: list[Run] = []
    for segment in segments:
        if segment.tensor is not None and segment.length >= TINY:
            plan.append(Run(segment.length, segment.tensor, segment.dtype))
        elif plan and plan[-1].key == OPAQUE:
            plan[-1] = Run(plan[-1].length + segment.length)
        else:
            plan.append(Run(segment.length))
    return plan
