"""What is to be merged into which branch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.lines import Lines
from lepton_ai.history.merging.asked import Request


class Job(msgspec.Struct, frozen=True):
    """``sources`` (ids) come into the branch ``into``; ``what`` names them for people, ``message`` says why."""

    into: str
    sources: tuple[bytes, ...]
    asked: Request
    what: str
    message: str = ""

    @property
    def said(self) -> str:
        """What into what."""
        return f"{self.what} into {self.into}"


def of_branch(lines: Lines, source: str, into: str, asked: Request, message: str = "") -> Job:
    """A branch into another.

    Raises:
        UsageError: it is empty.
    """
    head = lines.branch(source).head
    if head is None:
        raise UsageError(f"branch {source!r} has no version to merge")
    return Job(into, (head,), asked, source, message)


def of_versions(lines: Lines, ids: Sequence[bytes], into: str, asked: Request, message: str = "") -> Job:
    """Versions into a branch."""
    names = [f"{found.record.branch}@{found.row.name}" for found in map(lines.version, ids)]
    return Job(into, tuple(ids), asked, ", ".join(names), message)
