"""The Progress protocol: how long work tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Receives the progress of one task at a time. Methods may be called from any thread."""

    def start(self, task: str, total: int) -> None:
        """A task of ``total`` bytes begins; it ends when the next one starts or the operation returns."""

    def advance(self, amount: int) -> None:
        """``amount`` bytes more are done."""


class Silent:
    """Listens to nothing: the default."""

    def start(self, task: str, total: int) -> None:
        """Do nothing."""

    def advance(self, amount: int) -> None:
        """Do nothing."""


SILENT = Silent()
