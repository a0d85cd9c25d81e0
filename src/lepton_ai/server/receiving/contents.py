"""What a commit's versions are made of lies in packs of the server, before the commit counts."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Protocol

from msgspec.structs import replace

from lepton_ai.errors import IntegrityError, UsageError
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.refs.contract import ContentRow
from lepton_ai.store.blocks.span import Span
from lepton_ai.store.contract import Content


class Shelf(Protocol):
    """The packs of one repository, as far as the server can look into them."""

    @property
    def readable(self) -> bool:
        """Whether the server holds the key."""

    def missing(self, ids: Iterable[bytes], avoid: Collection[str] = ()) -> set[bytes]:
        """Those of the objects that cannot be read by what the packs' tables say, without the packs ``avoid``."""

    def manifest(self, object_id: bytes) -> Manifest:
        """A manifest, opened; only where it is ``readable``."""

    def stored_bytes(self, content: Content) -> int:
        """What a file takes in the packs; only where it is ``readable``."""


def check_contents(
    shelf: Shelf,
    needed: Collection[bytes],
    incoming: Sequence[ContentRow],
    kept: Mapping[bytes, ContentRow],
    avoid: Collection[str],
) -> tuple[ContentRow, ...]:
    """The rows that come, with sizes as the server sees them; ``kept`` are those that it has of ``needed``.

    Raises:
        UsageError: something that a record refers to is nowhere, or not in packs of the server.
    """
    coming = {row.sha256: row for row in incoming}
    check_known(needed, {**kept, **coming})
    relied = [*incoming, *(kept[digest] for digest in needed if digest not in coming)]
    check_manifests(shelf, relied, avoid)
    if not shelf.readable:
        return tuple(incoming)
    found = {row.sha256: opened(shelf, row) for row in relied}
    check_blocks(shelf, found, avoid)
    return tuple(replace(row, stored=shelf.stored_bytes(found[row.sha256])) for row in incoming)


def check_known(needed: Iterable[bytes], rows: Mapping[bytes, ContentRow]) -> None:
    """Everything that records refer to is in the commit or known already."""
    for digest in needed:
        if digest not in rows:
            raise UsageError(
                f"the file with SHA-256 {digest.hex()[:16]}… is neither here nor in the commit",
                hint="send its content along",
            )


def check_manifests(shelf: Shelf, rows: Iterable[ContentRow], avoid: Collection[str]) -> None:
    """Every manifest is in a pack that stays."""
    manifests = {row.manifest: row for row in rows}
    for row in manifests.values():
        if len(row.manifest) != 32 or row.size < 0 or row.stored < 0:
            raise UsageError(f"the entry of file {row.sha256.hex()[:16]}… makes no sense")
    lost = shelf.missing(manifests, avoid)
    if lost:
        row = manifests[min(lost)]
        raise UsageError(
            f"no pack of the server holds the manifest of file {row.sha256.hex()[:16]}…",
            hint="upload the pack first",
        )


def opened(shelf: Shelf, row: ContentRow) -> Content:
    """What the manifest says that a file consists of; it is of this file, and makes sense."""
    name = f"{row.sha256.hex()[:16]}…"
    try:
        manifest = shelf.manifest(row.manifest)
        Span(manifest.content)
    except IntegrityError as problem:
        raise UsageError(f"the manifest of file {name} cannot be read: {problem.message}") from problem
    if manifest.sha256 not in (b"", row.sha256) or manifest.content.size != row.size:
        raise UsageError(f"the manifest of file {name} is that of another file")
    return manifest.content


def check_blocks(shelf: Shelf, found: Mapping[bytes, Content], avoid: Collection[str]) -> None:
    """Every block that the manifests name is in a pack that stays."""
    owners = {id_: digest for digest, content in found.items() for s in content.streams for id_ in s.ids}
    lost = shelf.missing(owners, avoid)
    if lost:
        digest = owners[min(lost)]
        raise UsageError(
            f"{len(lost)} blocks are in no pack of the server, one of file {digest.hex()[:16]}…",
            hint="upload their packs first",
        )
