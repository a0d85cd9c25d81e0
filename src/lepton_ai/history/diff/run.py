"""From two sides to everything that lies between them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from lepton_ai.formats import architecture
from lepton_ai.formats.architecture.contract import Part
from lepton_ai.formats.contract import Malformed
from lepton_ai.history import counterparts
from lepton_ai.history.counterparts import FilePair
from lepton_ai.history.diff import architecture as architectures
from lepton_ai.history.diff import tensors as tensors_
from lepton_ai.history.diff import told
from lepton_ai.history.diff.contract import FileChange, FileStatus, Report, Sides
from lepton_ai.history.diff.contract import Part as PartChange
from lepton_ai.history.diff.tensors import Sort
from lepton_ai.history.elements import Tensors
from lepton_ai.history.held import Stored
from lepton_ai.history.outside import Outside
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import content_id
from lepton_ai.history.structure import beside_tensors
from lepton_ai.progress import SILENT, Progress
from lepton_ai.types import FileEntry, Record


class Side(NamedTuple):
    """One side of a comparison: a version's record, or files ``outside`` of the repository."""

    label: str
    entries: tuple[FileEntry, ...]
    id: str | None = None
    record: Record | None = None
    outside: Outside | None = None


class Asked(NamedTuple):
    """What is wanted: tensors that fit a glob, also what is the same, whole tensors instead of differing blocks."""

    pattern: str | None = None
    everything: bool = False
    whole: bool = False
    sort: Sort = "moved"


_ALL = Asked()


def difference(
    reader: Reader, before: Side, after: Side, asked: Asked = _ALL, progress: Progress = SILENT
) -> Report:
    """Compare two sides. Blocks that are known to be equal are not read (without ``asked.whole``).

    Raises:
        Damaged, KeyMissing, TooNew, StorageFailed.
    """
    held = before.outside or Stored(reader, before.entries), after.outside or Stored(reader, after.entries)
    one, other = Tensors(held[0]), Tensors(held[1])
    models = {e.path for e in one.values()}, {e.path for e in other.values()}
    paired = counterparts.files(before.entries, after.entries, models)
    pairs = counterparts.tensors(one, other, paired)
    changes, measured = tensors_.compare(pairs, asked.pattern, whole=asked.whole, progress=progress)
    kept = [change for change in changes if asked.everything or change.status != "same"]
    only_tensors = asked.pattern is not None
    complete = not (only_tensors or one.lacking or other.lacking)
    notes = [f"{name}: {why}" for side in (one, other) for name, why in side.lacking.items()]
    parts: list[PartChange] = []
    if not only_tensors:
        parts = _architecture(reader, held, paired, notes)
    said = {}
    if before.record is not None and after.record is not None and not only_tensors:
        said = told.sections(before.record, after.record, reader, everything=asked.everything)
    files = () if only_tensors else _files(paired, everything=asked.everything)
    return Report(
        Sides(before.label, before.id),
        Sides(after.label, after.id),
        same_content=content_id(before.entries) == content_id(after.entries),
        same_weights=complete and bool(changes) and all(change.status == "same" for change in changes),
        files=files,
        tensors=tuple(tensors_.in_order(kept, asked.sort)),
        layers=tensors_.layers(changes, measured, asked.sort),
        same=sum(change.status == "same" for change in changes),
        **said,
        architecture=tuple(parts),
        notes=tuple(dict.fromkeys(notes)),
        complete=complete,
        bytes=one.nbytes + other.nbytes,
        bytes_read=one.bytes_read + other.bytes_read,
    )


def _files(paired: Iterable[FilePair], *, everything: bool) -> tuple[FileChange, ...]:
    found = (_file(pair) for pair in paired)
    return tuple(change for change in found if everything or change.status != "same")


def _file(pair: FilePair) -> FileChange:
    before, after = pair
    if before is None and after is not None:
        return FileChange(after.path, "added", None, None, after.size)
    if after is None and before is not None:
        return FileChange(before.path, "removed", before.path, before.size, None)
    assert before is not None and after is not None  # noqa: S101, PT018  (a pair has at least one side)
    one = (before.sha256, before.executable, before.target)
    same = one == (after.sha256, after.executable, after.target)
    status: FileStatus = "changed" if not same else "same" if before.path == after.path else "renamed"
    return FileChange(after.path, status, before.path, before.size, after.size)


def _architecture(
    reader: Reader,
    held: tuple[Stored | Outside, Stored | Outside],
    paired: Iterable[FilePair],
    notes: list[str],
) -> list[PartChange]:
    found: list[PartChange] = []
    for old, new in paired:
        if old is None or new is None or old.sha256 == new.sha256 or old.target or new.target:
            continue
        if _known_alike(held, old.path, new.path):
            continue
        try:
            parts = _parts(reader, held[0], old.path), _parts(reader, held[1], new.path)
        except Malformed as problem:
            notes.append(f"the architecture in {new.path} cannot be compared: {problem}")
            continue
        if parts[0] is not None and parts[1] is not None:
            found += architectures.compare(parts[0], parts[1], new.path)
    return found


def _known_alike(held: tuple[Stored | Outside, Stored | Outside], before: str, after: str) -> bool:
    """Whether two stored files differ in nothing but tensors, by their blocks."""
    old, new = held
    if isinstance(old, Outside) or isinstance(new, Outside):
        return False
    return beside_tensors(old.manifests[before].content) == beside_tensors(new.manifests[after].content)


def _parts(reader: Reader, held: Stored | Outside, path: str) -> list[Part] | None:
    """The parts of one file; None when its format tells none."""
    if isinstance(held, Outside):
        read = architecture.READERS.get(held.layouts[path].format)
        return read(held.sources[path]) if read else None
    manifest = held.manifests[path]
    if manifest.format not in architecture.READERS:
        return None
    return architectures.parts(reader, manifest.format, manifest.content)
