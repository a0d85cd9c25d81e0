"""The store's face: sealed, deduplicated blocks in packs, and back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path

from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import Blobs, Content, Finding, PackInfo, PackUse
from lepton_ai.store.seal.keyring import Keyring
from lepton_ai.store.writer import Writer

BLOCK_SIZE = 1 << 20


class Store:
    """Blocks, small objects and packs over one :class:`Blobs`. Methods may be called from any thread."""

    def __init__(
        self,
        blobs: Blobs,
        index_path: Path,
        keyring: Keyring,
        temporary: Path,
        *,
        block_size: int = BLOCK_SIZE,
    ) -> None:
        raise NotImplementedError

    def writer(self, progress: Progress = SILENT, *, avoid: Collection[str] = ()) -> Writer:
        """Begin to write; a context manager. Packs named in ``avoid`` (condemned ones) are not relied on."""
        raise NotImplementedError

    def read(self, content: Content, offset: int, length: int) -> bytes:
        """``length`` bytes of a file from ``offset``; opens only the blocks (and bases) that cover them.

        Raises:
            UsageError: the range lies outside of the file.
            Damaged, KeyMissing, StorageFailed.
        """
        raise NotImplementedError

    def copy(self, content: Content, write: Callable[[bytes], object], progress: Progress = SILENT) -> None:
        """Give the whole file to ``write``, in order. Advances ``progress``, but starts no task.

        Raises:
            Damaged, KeyMissing, StorageFailed.
        """
        raise NotImplementedError

    def get(self, object_id: bytes) -> bytes:
        """A small object that :meth:`Writer.put` took.

        Raises:
            Damaged: no pack holds it, or it is not what was saved.
            KeyMissing, StorageFailed.
        """
        raise NotImplementedError

    def missing(self, object_ids: Iterable[bytes]) -> set[bytes]:
        """Those of the ids that no pack holds."""
        raise NotImplementedError

    def stored_bytes(self, contents: Iterable[Content]) -> int:
        """Bytes in packs of the distinct blocks of ``contents``, as they would be read (without bases' own bytes)."""
        raise NotImplementedError

    def packs(self) -> list[PackInfo]:
        """Every pack, oldest first."""
        raise NotImplementedError

    def live(self, roots: Iterable[bytes]) -> list[PackUse]:
        """How much of each pack the objects ``roots`` (blocks and small objects) need, bases included."""
        raise NotImplementedError

    def drop(self, packs: Iterable[str]) -> None:
        """Delete packs for good. May be repeated after a crash; packs that are gone already are no error."""
        raise NotImplementedError

    def compact(self, packs: Iterable[str], roots: Iterable[bytes]) -> tuple[str, ...]:
        """Copy what ``roots`` need of ``packs`` into new packs, as stored, and name these; drops nothing."""
        raise NotImplementedError

    def verify(self, *, fast: bool, progress: Progress = SILENT) -> Iterator[Finding]:
        """Check everything; ``fast``: the structure only. Starts its own task on ``progress``."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of files and connections."""
        raise NotImplementedError
