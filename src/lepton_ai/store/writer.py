"""Writing: files → blocks → codec → seal → packs, visible as a whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

from lepton_ai.errors import UsageError
from lepton_ai.progress import Progress
from lepton_ai.store.ahead import Known
from lepton_ai.store.blocks.cut import Group, Plan, cut
from lepton_ai.store.coder import Coded, Coder, Sealed
from lepton_ai.store.contract import Added, Blobs, Content, PackGone, Run, Written
from lepton_ai.store.packs.format import LARGEST, SMALL
from lepton_ai.store.packs.reader import is_there
from lepton_ai.store.packs.writer import Row
from lepton_ai.store.pairing import Pairing
from lepton_ai.store.pipeline import Background, Digest, Pool
from lepton_ai.store.publish import publish
from lepton_ai.store.reader import Reader
from lepton_ai.store.routes import Routes
from lepton_ai.store.seal.keyring import Keyring
from lepton_ai.store.sketches import Search

if TYPE_CHECKING:
    from hashlib import _Hash


class Writer:
    """Takes files and small objects; :meth:`finish` makes them durable. Leaving without it leaves nothing.

    For one thread. Nothing of a save is visible in the store before ``finish`` returns; if the process dies in it,
    whole packs that nothing refers to may remain, and go with the next garbage collection.
    """

    def __init__(
        self,
        blobs: Blobs,
        reader: Reader,
        keyring: Keyring,
        temporary: Path,
        block_size: int,
        progress: Progress,
        avoid: Collection[str],
        *,
        turn: bool,
    ) -> None:
        self._blobs = blobs
        self._reader = reader
        self._temporary = temporary
        self._block_size = block_size
        self._progress = progress
        self._coder = Coder(reader, keyring, avoid, turn=turn)
        self._avoid = avoid
        self._search = Search(reader.index, keyring)
        self._pool = Pool()
        self._flushing = Background("lepton-ai-flush")
        self._heads, self._others = Row(temporary, head=True), Row(temporary, head=False)
        self._done = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done = True
        self._pool.close()
        self._flushing.close()
        for pack in (*self._heads.packs, *self._others.packs):
            pack.discard()

    def add(
        self,
        file: BinaryIO,
        plan: Sequence[Run],
        base: Content | Pairing | None = None,
        *,
        begun: tuple[_Hash, int] | None = None,
    ) -> Added:
        """Take a file, read once from where it stands; ``plan`` covers exactly its bytes.

        ``base`` is the content that this one probably resembles, or a pairing that serves many files. Advances the
        progress by the bytes read. ``begun``: the file's SHA-256 as far as it is known, and of how many bytes it is.

        Raises:
            UsageError: the file is longer or shorter than the plan (it changed meanwhile).
            NoSpace, StorageFailed, Damaged, KeyMissing.
        """
        self._check_open()
        cutting = Plan(plan)
        pairing = base if isinstance(base, Pairing) else Pairing([base] if base is not None else [])
        pairing = pairing.for_one_file()
        new = self._search.pair(file, cutting, pairing)
        blocks = [bytearray() for _ in cutting.streams]
        sizes: list[int] = []
        digest = Digest(begun)

        ahead = self._coder.ahead(cutting.streams, pairing)

        def work(job: tuple[Group, Known]) -> tuple[Group, Coded]:
            group, known = job
            return group, self._coder.code(group.parts, cutting.streams, pairing, known)

        def read(group: Group) -> tuple[Group, Known]:
            digest.update(group.data)
            return group, ahead.known(max((part.stream for part in group.parts), default=0))

        try:
            for group, coded in self._pool.map(work, map(read, cut(file, cutting, self._block_size))):
                for part, id_ in zip(group.parts, coded.ids, strict=True):
                    blocks[part.stream] += id_
                    if cutting.has_opaque and part.stream == 0:
                        sizes.append(len(part.data))
                for sealed in coded.new:
                    self._append(sealed)
                self._progress.advance(len(group.data))
            content = cutting.content(self._block_size, blocks, sizes)
            self._search.remember(new, content.streams, self._block_size, pairing)
            return Added(content, digest.finish(), cutting.size)
        except BaseException:
            self._done = True  # blocks in flight are lost: nothing may rely on them
            raise
        finally:
            digest.close()

    def rely(self, ids: Iterable[bytes]) -> None:
        """Count on objects that are stored already: :meth:`finish` sees to it that they still are."""
        self._check_open()
        self._coder.relied.update(ids)

    def put(self, data: bytes) -> bytes:
        """Take a small object and return its id."""
        self._check_open()
        if len(data) > LARGEST // 2:
            raise UsageError(f"{len(data):,} bytes are too many for a small object.")
        id_ = self._reader.object_id(data)
        try:
            sealed = self._coder.small(id_, data, SMALL)
            if sealed is not None:
                self._append(sealed)
        except BaseException:
            self._done = True  # it counts as written already
            raise
        return id_

    def finish(self) -> Written:
        """Make everything durable: packs fsynced, renamed, their folder fsynced. Nothing can be added afterwards.

        Raises:
            PackGone: a pack that this save relies on was dropped meanwhile: save again.
            NoSpace, StorageFailed.
        """
        self._check_open()
        self._done = True
        self._pool.close()
        self._check_relied()
        self._flushing.finish()
        infos = publish(self._heads.packs, self._blobs, self._reader.index, then=self._others.packs)
        self._search.store()
        return Written(
            tuple(info.name for info in infos),
            frozenset(self._coder.relied),
            frozenset(self._coder.superseded),
            sum(info.size for info in infos),
        )

    def _append(self, sealed: Sealed) -> None:
        """What a later save may make needless lies apart from what stays. A full pack goes to the disk meanwhile."""
        full = (self._heads if sealed.head else self._others).append(sealed.header, *sealed.body)
        if full is not None:
            self._flushing.add(full.flush)

    def _check_open(self) -> None:
        if self._done:
            raise UsageError("This writer is finished.")

    def _check_relied(self) -> None:
        """Never rely on a pack that is gone: it was dropped since, or the index is older than it (a copy put back)."""
        gone = self._gone(self._coder.relied)
        if not gone:
            return
        self._reader.index.refresh()
        gone = self._gone(self._coder.relied)
        if gone:
            raise PackGone(f"The pack {min(gone)} was dropped while it was needed.", hint="save again")

    def _gone(self, ids: Collection[bytes]) -> set[str]:
        """Packs that are not there any more, or "" when an object has no way at all."""
        routes = Routes(self._reader.index, self._avoid, sound=True)
        routes.prepare(ids)
        packs: set[str] = set()
        for id_ in ids:
            packs.update([place.pack for place in routes.route(id_) or ()] or [""])
        return {pack for pack in packs if not pack or not is_there(self._blobs, pack)}
