"""What the repository takes: in all, and version by version."""

from __future__ import annotations

from dataclasses import dataclass

from lepton_ai.history import listing
from lepton_ai.history.home import Home
from lepton_ai.history.lines import Lines
from lepton_ai.types import VersionInfo


@dataclass(frozen=True)
class Stats:
    """``raw_bytes``: all files of all living versions in all revisions' newest form. ``stored_bytes``: everything below
    ``.lepton/``. ``ratio``: raw / stored.
    """

    raw_bytes: int
    stored_bytes: int
    pack_bytes: int
    packs: int
    ratio: float
    versions: tuple[VersionInfo, ...]


def stats(home: Home, lines: Lines) -> Stats:
    """Add up what there is."""
    versions = listing.versions(lines)
    packs = home.store.packs()
    stored = sum(place.stat().st_size for place in home.place.rglob("*") if place.is_file())
    raw = sum(version.raw_bytes for version in versions)
    return Stats(
        raw, stored, sum(p.size for p in packs), len(packs), raw / stored if stored else 0.0, tuple(versions)
    )
