"""The small sources beside this file, unpacked as they were written."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

HERE = Path(__file__).parent / "sources"


def unpack(name: str, folder: Path) -> Path:
    """Unpack a source into ``folder``; links get their times back, too, which Python's tarfile leaves out."""
    place = folder / name
    with tarfile.open(HERE / f"{name}.tar.xz") as archive:
        archive.extractall(place, filter="tar")
        for member in archive.getmembers():
            if member.issym():
                at = round(member.mtime * 1e9)
                os.utime(place / member.name, ns=(at, at), follow_symlinks=False)
    return place
