"""The store's face: sealed, deduplicated blocks in packs, and back."""

from __future__ import annotations

import io
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from lepton_ai.errors import UsageError
from lepton_ai.later import Later
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store import content as contents_
from lepton_ai.store import live
from lepton_ai.store.blocks.span import Span
from lepton_ai.store.contract import Blobs, Content, Finding, PackInfo, PackUse
from lepton_ai.store.durable import make_folder, storage_errors
from lepton_ai.store.index import Index
from lepton_ai.store.indexfile import owner_of
from lepton_ai.store.live import Spare
from lepton_ai.store.packs.writer import sweep
from lepton_ai.store.reader import Absent, Near, Reader
from lepton_ai.store.routes import Routes, doubled
from lepton_ai.store.seal.keyring import Keyring
from lepton_ai.store.writer import Writer

if TYPE_CHECKING:
    from lepton_ai.store import census as counting
    from lepton_ai.store import journey as journeys
    from lepton_ai.store import verify as verifying
    from lepton_ai.store.repack import repacker as repacking
else:
    counting = Later("lepton_ai.store.census")
    journeys = Later("lepton_ai.store.journey")
    verifying = Later("lepton_ai.store.verify")
    repacking = Later("lepton_ai.store.repack.repacker")

BLOCK_SIZE = 1 << 20
_AT_ONCE, _MAPPED = 500, 16


class Store:
    """Blocks, small objects and packs over one :class:`Blobs`. Methods may be called from any thread.

    ``temporary`` must be on the file system of a local ``blobs``; ``block_size`` is in bytes; ``absent`` fetches.
    """

    def __init__(
        self,
        blobs: Blobs,
        index_path: Path,
        keyring: Keyring,
        temporary: Path,
        *,
        block_size: int = BLOCK_SIZE,
        absent: Absent | None = None,
    ) -> None:
        self._blobs = blobs
        self._keyring = keyring
        self._temporary = temporary
        self._block_size = block_size
        self._index = Index(index_path, blobs, owner_of(keyring.id_key))
        self._reader = Reader(blobs, self._index, keyring, absent)
        self._spans: dict[int, Span] = {}

    def writer(
        self, progress: Progress = SILENT, *, avoid: Collection[str] = (), turn: bool = False
    ) -> Writer:
        """Begin to write; a context manager. Packs named in ``avoid`` (condemned ones) are not relied on.

        ``turn``: what the bases belong to is nobody else's newest version; they may become the differences.
        """
        with storage_errors(self._temporary):
            make_folder(self._temporary)
            sweep(self._temporary)
        return Writer(
            self._blobs, self._reader, self._keyring, self._temporary, self._block_size,
            progress, avoid, turn=turn,
        )  # fmt: skip

    @property
    def block_size(self) -> int:
        """Bytes of a block of a new tensor."""
        return self._block_size

    def object_id(self, plain: bytes) -> bytes:
        """The id that a block of these bytes has, or would have."""
        return self._reader.object_id(plain)

    def read(self, content: Content, offset: int, length: int) -> bytes:
        """``length`` bytes of a file from ``offset``; opens only the blocks (and bases) that cover them.

        Raises:
            UsageError: the range lies outside of the file.
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        result = io.BytesIO()  # grows in place and is given away without a copy
        with closing(contents_.read(self._reader, self._map(content), offset, length)) as portions:
            for portion in portions:
                result.write(portion)
        return result.getvalue()

    def copy(
        self, content: Content, write: Callable[[bytes | memoryview], object], progress: Progress = SILENT,
        *, near: Near | None = None,
    ) -> None:  # fmt: skip
        """Give the whole file to ``write``, in order; it must use at once what it gets. ``near``: see the reader.

        Advances ``progress``, but starts no task.

        Raises:
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        span = self._map(content)
        with closing(contents_.read(self._reader, span, 0, content.size, near)) as portions:
            for portion in portions:
                write(portion if isinstance(portion, bytes) else memoryview(portion))
                progress.advance(len(portion))

    def fill(self, content: Content, target: memoryview, progress: Progress = SILENT) -> None:
        """Put the whole file into ``target``, which is as long. Advances ``progress``, but starts no task.

        Raises:
            UsageError: ``target`` is of another length.
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        if len(target) != content.size:
            raise UsageError(f"A file of {content.size:,} bytes does not fill {len(target):,}.")
        contents_.fill(self._reader, self._map(content), target, progress)

    def unharmed(self, content: Content, progress: Progress = SILENT) -> bool:
        """Whether all that a file is made of is there as it was written, by the seals; advances ``progress``."""
        return contents_.unharmed(self._reader, content, progress)

    def get(self, object_id: bytes) -> bytes:
        """A small object that :meth:`Writer.put` took.

        Raises:
            Damaged: no pack holds it, or it is not what was saved.
            KeyMissing, TooNew, StorageFailed.
        """
        return bytes(self._reader.fetch([object_id])[object_id])

    def blocks(self, ids: Iterable[bytes]) -> dict[bytes, bytes | memoryview]:
        """Blocks by their ids. Those that others of them are differences to had better come first.

        Raises:
            Damaged, KeyMissing, TooNew, StorageFailed.
        """
        fetched = self._reader.fetch(ids)
        return {id_: data if isinstance(data, bytes) else memoryview(data) for id_, data in fetched.items()}

    def small(self, object_ids: Iterable[bytes]) -> dict[bytes, bytes]:
        """Many small objects, as :meth:`get` gives one."""
        return {id_: bytes(data) for id_, data in self._reader.fetch(object_ids).items()}

    def missing(
        self, object_ids: Iterable[bytes], *, sound: bool = False, avoid: Collection[str] = ()
    ) -> set[bytes]:
        """Those of the ids that cannot be read by what the packs' tables say: no pack holds them or their bases.

        With ``sound`` also those of which a verification found every representation damaged. Packs named in ``avoid``
        count as gone.
        """
        wanted = set(object_ids)
        missing = self._unroutable(wanted, sound, avoid)
        if missing:
            self._index.refresh()
            missing = self._unroutable(missing, sound, avoid)
        return missing

    def _unroutable(self, ids: set[bytes], sound: bool, avoid: Collection[str]) -> set[bytes]:
        result: set[bytes] = set()
        rest = iter(ids)
        while some := list(islice(rest, _AT_ONCE)):
            routes = Routes(self._index, avoid, sound=sound)
            routes.prepare(some)
            result.update(id_ for id_ in some if routes.route(id_) is None)
        return result

    def stored_bytes(self, contents: Iterable[Content]) -> int:
        """Bytes in packs of the distinct blocks of ``contents``, each in its smallest form, without its bases."""
        ids = {id_ for content in contents for stream in content.streams for id_ in stream.ids}
        return sum(min(place.length for place in places) for places in self._index.find(ids).values())

    def packs(self) -> list[PackInfo]:
        """Every pack, oldest first."""
        self._index.refresh()
        return self._index.packs()

    def census(self) -> counting.Census:
        """Every object that can be read, in columns."""
        self._index.refresh()
        return counting.census(self._index)

    def bytes_of_packs(self) -> tuple[int, int]:
        """Bytes of all packs, and how many of them are not objects."""
        return sum(info.size for info in self._index.packs()), sum(self._index.frames().values())

    def live(self, roots: Iterable[bytes], *, avoid: Collection[str] = ()) -> list[PackUse]:
        """How much of each pack the objects ``roots`` (blocks and small objects) need, bases included.

        The packs ``avoid`` count as needed only for what no other pack holds.
        """
        self._index.refresh()
        return live.use(self._index, roots, avoid)

    def spare(self, superseded: Iterable[bytes] | None, *, avoid: Collection[str] = ()) -> Spare:
        """What may be freed because ``superseded`` objects were stored again as differences; None: all there are."""
        if superseded is None:
            self._index.refresh()
            superseded = doubled(self._index)
        return live.spare(self._index, superseded, avoid)

    def strangers(self, roots: Iterable[bytes]) -> set[str]:
        """Packs that hold none of the objects ``roots``."""
        self._index.refresh()
        return live.strangers(self._index, roots)

    def independent(
        self, packs: Collection[str], *, avoid: Collection[str] = (), trusted: Collection[str] = ()
    ) -> list[str]:
        """Those of ``packs`` whose every object can be read without all of them and without ``avoid``.

        What would be read instead is read now, unless it lies in packs that are ``trusted``.
        """
        return live.independent(self._reader, self._blobs, packs, avoid, trusted)

    def indexed(self, pack: str) -> bool:
        """Whether the index knows all that can be found in a pack; one that is gone counts as known."""
        held = live.found_in(self._blobs, pack)
        return not held or held <= {place.id for place in self._index.objects(pack)}

    def drop(self, packs: Iterable[str]) -> None:
        """Delete packs for good. May be repeated after a crash; packs that are gone already are no error."""
        live.drop(self._index, self._blobs, packs)

    def size_of(self, packs: Iterable[str]) -> int:
        """Bytes of some packs."""
        return live.size_of(self._index, packs)

    def compact(
        self, packs: Iterable[str], roots: Iterable[bytes], *, avoid: Collection[str] = ()
    ) -> tuple[str, ...]:
        """Copy what ``roots`` need of ``packs`` into new packs, as stored, and name these; drops nothing.

        The packs ``avoid`` count as needed only for what no other pack holds.

        Raises:
            NotFound: there is no such pack.
            Damaged: something that is needed cannot be copied.
            NoSpace, StorageFailed, KeyMissing.
        """
        self._index.refresh()
        with storage_errors(self._temporary):
            make_folder(self._temporary)
        return live.compact(self._reader, self._blobs, self._temporary, packs, roots, avoid)

    def repacker(
        self,
        roots: Collection[bytes],
        *,
        free: Collection[str],
        heads: frozenset[bytes],
        young: Collection[str] = (),
    ) -> repacking.Repacker:
        """Begin to decide anew how what the objects ``roots`` need is stored, in so far as it lies in ``free`` packs.

        ``heads`` are the blocks that are read most often, and that the next save makes needless. Of the ``young`` among
        the free packs all stays readable, needed or not.
        """
        self._index.refresh()
        return repacking.Repacker(
            self._reader, self._blobs, self._keyring, self._temporary, roots, free, heads, young
        )

    def traffic(self) -> journeys.Traffic:
        """For objects that come from other stores of the same keys, or go there."""
        return journeys.Traffic(self._reader, self._blobs, self._keyring.current, self._temporary)

    def verify(self, *, fast: bool, progress: Progress = SILENT) -> Iterator[Finding]:
        """Check everything that is kept; ``fast``: the structure only. Starts its own task on ``progress``.

        This knows what the packs hold, not what they should: :meth:`missing` does."""
        return verifying.Verifier(self._reader, self._blobs).run(fast=fast, progress=progress)

    def close(self) -> None:
        """Let go of files and connections."""
        self._index.close()

    def _map(self, content: Content) -> Span:
        """The content prepared for reading; the last ones are kept: several files may be read in turns."""
        span = self._spans.get(id(content))
        if span is None or span.content is not content:
            span = Span(content)
            self._spans = {**dict(list(self._spans.items())[1 - _MAPPED :]), id(content): span}
        return span
