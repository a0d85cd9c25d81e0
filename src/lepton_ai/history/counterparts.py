"""Which file and which tensor of one version stands for which of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from lepton_ai.history.elements import Elements, Tensors
from lepton_ai.types import FileEntry


class FilePair(NamedTuple):
    """A file before and after; None on one side: it was added or removed."""

    before: FileEntry | None
    after: FileEntry | None


class TensorPair(NamedTuple):
    """A tensor before and after; None on one side: there is none of this name."""

    before: Elements | None
    after: Elements | None


def files(
    before: Iterable[FileEntry],
    after: Iterable[FileEntry],
    models: tuple[Collection[str], Collection[str]] = ((), ()),
) -> list[FilePair]:
    """Pair the files of two versions, in the order of the newer one, those that only the older one has at the end.

    A file stands for the one of the same path; else for one of the same content (it was renamed); else, when both
    versions have one model file left, these stand for each other, whatever they are called. ``models`` are the paths of
    the files with tensors, before and after.
    """
    old = {entry.path: entry for entry in before}
    new = {entry.path: entry for entry in after}
    found = {path: path for path in new if path in old}
    found |= dict(_by_content(_without(old, found.values()), _without(new, found)))
    left = [path for path in _without(old, found.values()) if path in models[0]]
    alone = [path for path in _without(new, found) if path in models[1]]
    if len(left) == len(alone) == 1:
        found[alone[0]] = left[0]
    pairs = [FilePair(old[found[path]] if path in found else None, entry) for path, entry in new.items()]
    return pairs + [FilePair(entry, None) for entry in _without(old, found.values()).values()]


def tensors(before: Tensors, after: Tensors, paired: Iterable[FilePair]) -> list[TensorPair]:
    """Pair the tensors of two versions by name, in the order of the newer one; see :func:`files` for ``paired``.

    Of the same name counts first the one in the file that stands for the tensor's own; else the only one that is left,
    in whichever file (the shards of a model may be cut otherwise).
    """
    partner = {pair.after.path: pair.before.path for pair in paired if pair.after and pair.before}
    old = {(elements.path, elements.name): elements for elements in before.values()}
    found: dict[str, Elements] = {}
    for address, elements in after.items():
        place = partner.get(elements.path), elements.name
        if place in old:
            found[address] = old.pop(place)
    named, wanted = (
        Counter(elements.name for elements in old.values()),
        Counter(elements.name for address, elements in after.items() if address not in found),
    )
    single = {elements.name: place for place, elements in old.items() if named[elements.name] == 1}
    for address, elements in after.items():
        if address not in found and elements.name in single and wanted[elements.name] == 1:
            found[address] = old.pop(single[elements.name])
    pairs = [TensorPair(found.get(address), elements) for address, elements in after.items()]
    return pairs + [TensorPair(elements, None) for elements in old.values()]


def _by_content(old: dict[str, FileEntry], new: dict[str, FileEntry]) -> Iterator[tuple[str, str]]:
    """Paths after and before of files of the same content, each once; links have none."""
    there: dict[str, list[str]] = {}
    for path, entry in old.items():
        if entry.target is None:
            there.setdefault(entry.sha256, []).append(path)
    for path, entry in new.items():
        if entry.target is None and there.get(entry.sha256):
            yield path, there[entry.sha256].pop(0)


def _without(entries: dict[str, FileEntry], taken: Iterable[str]) -> dict[str, FileEntry]:
    gone = set(taken)
    return {path: entry for path, entry in entries.items() if path not in gone}
