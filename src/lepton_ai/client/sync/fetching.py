"""Objects from a server into packs here. Whatever a cut or a kill leaves is gone on with, byte for byte.

In ``folder`` lie ``NAME.whole``, a pack as far as it came, and ``NAME.some``, objects of a pack of which only some are
needed, one after the other as they are stored: each begins with its header, so it can be told which ones are whole.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from blake3 import blake3

from lepton_ai.client import waiting
from lepton_ai.client.blobs import HttpBlobs
from lepton_ai.client.reaching import Unreached
from lepton_ai.client.sync.ends import End
from lepton_ai.errors import Damaged
from lepton_ai.progress import Progress
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.index import Place
from lepton_ai.store.journey import PACK
from lepton_ai.store.packs.format import blob_name, unpack_header
from lepton_ai.store.packs.writer import PackWriter
from lepton_ai.store.pipeline import Pool
from lepton_ai.store.runs import runs

MOST = 0.9
"""From this part of a pack on all of it is fetched: it needs no copying then."""
GAP = 16 << 10
"""Bytes between two objects that are fetched with them rather than asked for around."""


class Job(NamedTuple):
    """What is fetched of one pack."""

    pack: str
    size: int
    places: tuple[Place, ...]

    @property
    def whole(self) -> bool:
        """Whether all of it is."""
        return sum(place.length for place in self.places) >= MOST * self.size


class Fetching:
    """One journey from a server at ``source`` to ``target``."""

    def __init__(self, source: End, target: End, folder: Path, progress: Progress) -> None:
        assert source.far is not None  # noqa: S101  (whoever asks knows)
        self._blobs: HttpBlobs = source.far.far_blobs
        self._target, self._folder, self._progress = target, folder, progress
        self._traffic = target.home.store.traffic()
        self._came = 0

    def run(self, places: Sequence[Place], sizes: Mapping[str, int], streams: int) -> int:
        """Fetch, check, and enter; the bytes that came."""
        jobs = _jobs(places, sizes)
        with Pool(streams) as pool:
            for job, file in zip(jobs, pool.map(self._one, jobs), strict=True):
                if job.whole:
                    self._keep(job, file)
        self._assemble([job for job in jobs if not job.whole])
        for left in (
            *self._folder.glob("*.whole"),
            *self._folder.glob("*.some"),
            *self._folder.glob("*.piece"),
        ):
            left.unlink(missing_ok=True)
        return self._came

    def _one(self, job: Job) -> Path:
        """The file with what is needed of a pack."""
        if job.whole:
            file = self._folder / f"{job.pack}.whole"
            self._grow(file, job, 0, job.size)
            return file
        file = self._folder / f"{job.pack}.some"
        there = _there(file)
        for run in runs([place for place in job.places if place.id not in there], GAP):
            start, end = run[0].offset, run[-1].offset + run[-1].length
            self._some(file, job, run, start, end - start)
        return file

    def _grow(self, file: Path, job: Job, offset: int, length: int) -> None:
        """Let ``file`` grow to the whole range; what it has is the beginning of that."""
        failures = 0
        while True:
            have = file.stat().st_size if file.exists() else 0
            if have >= length:
                return
            before = have
            try:
                with storage_errors(file), file.open("ab") as sink:
                    for data in self._blobs.stream(blob_name(job.pack), offset + have, length - have):
                        sink.write(data)
                        have += len(data)
                        self._told(len(data))
            except Unreached as problem:
                if waiting.enough(failures + 1, silent=problem.silent):
                    raise
            failures = 0 if have > before else failures + 1
            if failures > waiting.ATTEMPTS:
                raise Damaged(
                    f"pack {job.pack} ends before its {job.size:,} bytes", hint="lepton verify there"
                )
            if have < length:
                time.sleep(waiting.pause(failures))

    def _some(self, file: Path, job: Job, run: list[Place], start: int, length: int) -> None:
        """Append the objects of a range, each once it is whole."""
        piece = self._folder / f"{job.pack}.{start}.piece"
        self._grow(piece, job, start, length)
        data = piece.read_bytes()
        with storage_errors(file), file.open("ab") as sink:
            for place in run:
                body = data[place.offset - start : place.offset - start + place.length]
                self._traffic.check(place, body)
                sink.write(body)
        piece.unlink()

    def _told(self, amount: int) -> None:
        self._came += amount
        self._progress.advance(amount)

    def _keep(self, job: Job, file: Path) -> None:
        """Enter a whole pack: its name is its hash.

        Raises:
            Damaged: it is another one.
        """
        digest = blake3()
        with storage_errors(file), file.open("rb") as source:
            while data := source.read(4 << 20):
                digest.update(data)
        if digest.hexdigest() != job.pack:
            file.unlink()
            raise Damaged(f"pack {job.pack} did not arrive as it was written", hint="repeat")
        self._target.home.blobs.put(blob_name(job.pack), file)

    def _assemble(self, jobs: list[Job]) -> None:
        """Pack the single objects that came, make them durable, and enter them."""
        writer: PackWriter | None = None
        try:
            for job in jobs:
                file = self._folder / f"{job.pack}.some"
                for header, body in _objects(file):
                    writer = writer or PackWriter(self._traffic.temporary, PACK)
                    writer.append(header, body)
                    if writer.full:
                        self._traffic.take(writer)
                        writer = None
            if writer is not None:
                writer.close()
                self._traffic.take(writer)
                writer = None
        finally:
            if writer is not None:
                writer.discard()


def _jobs(places: Sequence[Place], sizes: Mapping[str, int]) -> list[Job]:
    by_pack: dict[str, list[Place]] = {}
    for place in places:
        by_pack.setdefault(place.pack, []).append(place)
    return [
        Job(pack, sizes[pack], tuple(sorted(found, key=lambda place: place.offset)))
        for pack, found in by_pack.items()
    ]


def _there(file: Path) -> set[bytes]:
    """Ids of the objects that came before; one that is cut off at the end is removed."""
    if not file.exists():
        return set()
    found, end = set(), 0
    with storage_errors(file), file.open("rb+") as handle:
        size = os.fstat(handle.fileno()).st_size
        while end < size:
            handle.seek(end)
            try:
                header = unpack_header(handle.read(512))
            except Damaged:
                break
            if end + header.size > size:
                break
            found.add(header.id)
            end += header.size
        handle.truncate(end)
    return found


def _objects(file: Path) -> Iterator[tuple[bytes, bytes]]:
    """Header and body of every object."""
    if not file.exists():
        return
    with storage_errors(file), file.open("rb") as handle:
        while head := handle.read(512):
            header = unpack_header(head)
            handle.seek(-len(head), os.SEEK_CUR)
            data = handle.read(header.size)
            yield data[: header.header_size], data[header.header_size :]
