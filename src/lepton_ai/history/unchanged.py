"""Which files a save need not read: they have not changed since they were read, and their bytes are stored."""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from lepton_ai.errors import IntegrityError, KeyMissing
from lepton_ai.formats.contract import Layout
from lepton_ai.history import manifest as manifests
from lepton_ai.history.files import Found
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.refs.contract import ContentRow, Records
from lepton_ai.history.seen import Seen
from lepton_ai.store.store import Store


class Stored(NamedTuple):
    """A content as it is stored; ``ids`` are all objects that it needs."""

    row: ContentRow
    manifest: Manifest
    ids: list[bytes]

    @property
    def depends(self) -> bool:
        """Whether what is told of it may depend on other files: it says where tensors are in them, or was refused."""
        return bool(self.manifest.note) or any(
            extent.path for tensor in self.manifest.tensors for extent in tensor.extents
        )

    def told_as(self, layout: Layout) -> bool:
        """Whether a reader would say the same of it now."""
        now = Manifest(
            self.manifest.content, layout.format, layout.tensors, layout.note, self.manifest.sha256
        )
        return manifests.encode(now) == manifests.encode(self.manifest)


def unchanged(
    files: Collection[Found], seen: Seen, records: Records, store: Store, avoid: Collection[str]
) -> dict[str, Stored]:
    """What is stored of those files, by path, whose bytes are certain without reading them; ``avoid`` are packs."""
    digests: dict[str, bytes] = {}
    for file in files:
        known = seen.recall(file.place, file.name) if file.lies_there else None
        if known is not None:
            digests[file.path] = known.digest
    rows = records.contents(set(digests.values()))
    found = {digest: stored_as(row, store, avoid) for digest, row in rows.items()}
    sizes = {file.path: file.size for file in files}
    result = {}
    for path, digest in digests.items():
        content = found.get(digest)
        if content is not None and content.row.size == content.manifest.content.size == sizes[path]:
            result[path] = content
    return result


def stored_as(row: ContentRow, store: Store, avoid: Collection[str]) -> Stored | None:
    """A content, if it can be given back as far as is known without the packs ``avoid``."""
    try:
        manifest = manifests.decode(store.get(row.manifest))
    except (IntegrityError, KeyMissing):  # the file is at hand: read, it is stored anew
        return None
    ids = [row.manifest, *(id_ for stream in manifest.content.streams for id_ in stream.ids)]
    if manifest.sha256 != row.sha256 or store.missing(ids, sound=True, avoid=avoid):
        return None
    return Stored(row, manifest, ids)
