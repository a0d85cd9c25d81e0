"""Writing: files → blocks → codec → seal → packs, visible as a whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Self

from lepton_ai.store.contract import Added, Content, Run, Written


class Writer:
    """Takes files and small objects; :meth:`finish` makes them durable. Leaving without it leaves nothing."""

    def __enter__(self) -> Self:
        raise NotImplementedError

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise NotImplementedError

    def add(self, file: BinaryIO, plan: Sequence[Run], base: Content | None = None) -> Added:
        """Take a file, read once from where it stands; ``plan`` covers exactly its bytes.

        ``base`` is the content that this one probably resembles. Advances the progress by the bytes read.

        Raises:
            UsageError: the file is longer or shorter than the plan (it changed meanwhile).
            NoSpace, StorageFailed, Damaged, KeyMissing.
        """
        raise NotImplementedError

    def put(self, data: bytes) -> bytes:
        """Take a small object and return its id."""
        raise NotImplementedError

    def finish(self) -> Written:
        """Make everything durable: packs fsynced, renamed, their folder fsynced. Nothing can be added afterwards.

        Raises:
            Busy: a pack that this save relies on was dropped meanwhile: save again.
            NoSpace, StorageFailed.
        """
        raise NotImplementedError
