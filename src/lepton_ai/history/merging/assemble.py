"""From a plan to the files of the merged version, as a save takes them."""

from __future__ import annotations

from pathlib import Path

from lepton_ai.formats import splice
from lepton_ai.formats.contract import BytesSource, Source
from lepton_ai.history.files import Found
from lepton_ai.history.merging.carriers import Carrier
from lepton_ai.history.merging.compute import Scratch, news
from lepton_ai.history.merging.plan import Made, Plan
from lepton_ai.progress import Progress
from lepton_ai.types import FileEntry


def files(plan: Plan, scratch: Scratch, progress: Progress) -> list[Found]:
    """Every file: those that a side has as they are, and those that are put together while they are read.

    Computes what methods merge, into ``scratch``, and notes in the plan what NaN and infinities that brings in.
    """
    progress.start("merging", sum(_computed_bytes(made.carrier) for made in plan.made if made.carrier))
    found = [_stored(entry) for _, entry in plan.kept]
    for made in plan.made:
        found += _made(made, plan, scratch, progress)
    return found


def _made(made: Made, plan: Plan, scratch: Scratch, progress: Progress) -> list[Found]:
    if made.carrier is None:
        return [_virtual(made.entry, BytesSource(made.data))]
    carrier = made.carrier
    side = carrier.side
    if not carrier.changes:
        return [_stored(entry) for entry in made.entries]
    found = news(carrier, plan.asked.seed, scratch, progress)
    plan.introduced.update(found.introduced)
    folder = {path: side.source(path) for path, entry in side.files.items() if entry.target is None}
    touched = splice.splice(made.path, side.manifests[made.path], folder, found.sources)
    return [
        _virtual(placed, touched[entry.path])
        if entry.path in touched
        else _stored(placed, folder[entry.path])  # it may tell where the tensors of the others are
        for entry, placed in zip(carrier.entries, made.entries, strict=True)
    ]


def computed_bytes(plan: Plan) -> int:
    """Bytes of the elements that methods give."""
    return sum(_computed_bytes(made.carrier) for made in plan.made if made.carrier is not None)


def _computed_bytes(carrier: Carrier) -> int:
    total = 0
    for fate in carrier.changes.values():
        mine = fate.slot.models[carrier.number]
        if mine is not None and fate.computed(mine):
            total += mine.size * mine.dtype.itemsize
    return total


def _virtual(entry: FileEntry, source: Source) -> Found:
    return Found(entry.path, Path(entry.path), source.size, entry.executable, source=source)


def _stored(entry: FileEntry, source: Source | None = None) -> Found:
    return Found(
        entry.path,
        Path(entry.path),
        entry.size,
        entry.executable,
        entry.target,
        source=source,
        stored=entry.sha256,
    )
