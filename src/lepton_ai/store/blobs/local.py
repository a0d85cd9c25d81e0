"""Blobs in a local folder."""

from __future__ import annotations

from pathlib import Path


class LocalBlobs:
    """Blobs as files below ``root``."""

    def __init__(self, root: Path) -> None:
        self.root = root
