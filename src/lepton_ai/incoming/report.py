"""What an import did, and what it could not take over."""

from __future__ import annotations

import msgspec

from lepton_ai.incoming.contract import Left


class Taken(msgspec.Struct, frozen=True):
    """A version that was made of what the source calls ``reference``. Of a dry run it has no id.

    ``completed``: it was here, and got files in a new revision that could not be had before. ``missing``: how many of
    its files could not be had.
    """

    reference: str
    branch: str
    author: str
    created_at: str
    message: str
    files: int
    bytes: int
    missing: int = 0
    name: str = ""
    id: str = ""
    completed: bool = False


class Renamed(msgspec.Struct, frozen=True):
    """Something that is called otherwise here, and why; ``what``: branch, tag, alias or version."""

    what: str
    before: str
    after: str
    why: str


class Named(msgspec.Struct, frozen=True):
    """A tag or alias that was set, and the version that it means."""

    kind: str
    name: str
    version: str


class Report(msgspec.Struct):
    """``known`` versions were here before. ``new_bytes``: what the packs grew."""

    kind: str
    place: str
    scope: str
    dry_run: bool = False
    known: int = 0
    taken: list[Taken] = []
    labels: list[Named] = []
    renamed: list[Renamed] = []
    left: list[Left] = []
    new_bytes: int = 0

    def rename(self, what: str, before: str, after: str, why: str) -> None:
        """Tell once that something is called otherwise; without a reason it was asked for."""
        renamed = Renamed(what, before, after, why)
        if why and before != after and renamed not in self.renamed:
            self.renamed.append(renamed)
