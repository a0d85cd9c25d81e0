"""From the root group down to every dataset, by its paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from lepton_ai.formats.checks import clean_name
from lepton_ai.formats.contract import MAX_TENSORS, Malformed, Source
from lepton_ai.formats.hdf5_file import headers
from lepton_ai.formats.hdf5_file.access import Access, Unreadable
from lepton_ai.formats.hdf5_file.datasets import Dataset, DatasetReader
from lepton_ai.formats.hdf5_file.groups import links
from lepton_ai.formats.hdf5_file.headers import Message, read_header
from lepton_ai.formats.hdf5_file.superblock import open_file

if TYPE_CHECKING:
    from collections.abc import Iterator

MOST_DEPTH = 100
GROUP = frozenset((headers.LINK_INFO, headers.LINK, headers.SYMBOL_TABLE))


class Found(NamedTuple):
    """A dataset, by all of its paths (hard links), without the leading slash; ``address`` is that of its header."""

    names: list[str]
    dataset: Dataset
    address: int = 0


def walk(source: Source) -> list[Found]:
    """Every dataset of a file that can be read as a tensor.

    A group that has several paths (or holds itself) is entered by the first one only.

    Raises:
        Malformed: the file is not what HDF5 promises.
    """
    access, root = open_file(source)
    found: dict[int, Found] = {}
    opaque: set[int] = set()
    reader = DatasetReader(access)
    names = _Names(source.size)
    pending: list[tuple[str, int, int]] = [("", root, 0)]
    while pending:
        path, address, depth = pending.pop()
        if address in opaque:
            continue
        if address in found:
            found[address].names.append(path)
            continue
        header = read_header(access, address)
        dataset = _dataset(reader, header)
        if dataset is not None:
            found[address] = Found([path], dataset, address)
            continue
        opaque.add(address)
        if depth > MOST_DEPTH:
            raise Malformed(f"groups within groups, more than {MOST_DEPTH} deep")
        inside = [(names.join(path, name), target, depth + 1) for name, target in _members(access, header)]
        pending.extend(sorted(inside, reverse=True))
    return list(found.values())


def _dataset(reader: DatasetReader, header: list[Message]) -> Dataset | None:
    """The dataset that a header describes; None for groups and for datasets that stay opaque."""
    if not any(message.kind == headers.LAYOUT for message in header):
        return None
    try:
        return reader.read(header)
    except Unreadable:
        return None


def _members(access: Access, header: list[Message]) -> Iterator[tuple[bytes, int]]:
    return links(access, [message for message in header if message.kind in GROUP])


class _Names:
    """Makes paths, and sees to it that they do not take more memory than the file could account for."""

    def __init__(self, size: int) -> None:
        self._left = 4 * size + (1 << 20)
        self._count = 0

    def join(self, path: str, name: bytes) -> str:
        """The path of link ``name`` in group ``path``."""
        text = name.decode("utf-8", "backslashreplace")
        if not text or "/" in text:
            raise Malformed(f"a link called {text!r}")
        joined = clean_name(f"{path}/{text}" if path else text)
        self._left -= len(joined)
        self._count += 1
        if self._left < 0 or self._count > MAX_TENSORS:
            raise Malformed("more names than the file can hold")
        return joined
