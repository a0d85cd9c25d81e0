"""The parent version's tensors, as bases for differences."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from lepton_ai.errors import Damaged
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.reading import Reader
from lepton_ai.store.contract import OPAQUE, Content
from lepton_ai.store.pairing import Pairing
from lepton_ai.types import FileEntry, Record


class Bases:
    """The parent version's tensors, as bases for differences: by path first, then by name in any of its files.

    What cannot be read of the parent is no base: damage must not keep anybody from saving.
    """

    def __init__(self, reader: Reader, parent: Record | None) -> None:
        entries = [entry for entry in parent.files if entry.target is None] if parent is not None else []
        self._contents = {path: found.content for path, found in _undamaged(reader, entries).items()}
        self._any = Pairing(self._contents.values())

    def for_file(self, path: str) -> Pairing | None:
        """What a file of this path may differ from; None when there is nothing."""
        if not self._contents:
            return None
        own = self._contents.get(path)
        return Pairing([own] if own is not None else [], self._any)

    def hold(self, contents: Iterable[Content]) -> bool:
        """Whether every tensor with blocks of its own is the parent's of that name; the first other one ends it."""
        streams = (stream for content in contents for stream in content.streams if stream.key != OPAQUE)
        there = False
        for stream in streams:
            partner = self._any.partner(stream.key, stream.dtype)
            if partner is None or partner.blocks != stream.blocks:
                return False
            there = True
        return there


def _undamaged(reader: Reader, entries: list[FileEntry]) -> dict[str, Manifest]:
    try:
        return reader.manifests(entries)
    except Damaged:
        found: dict[str, Manifest] = {}
        for entry in entries:
            with suppress(Damaged):
                found.update(reader.manifests([entry]))
        return found
