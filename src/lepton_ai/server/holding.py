"""A server's folder is one program's at a time: one that serves it, or one that moves it elsewhere."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Busy

LOCK = "server.lock"


class Holder(msgspec.Struct, frozen=True):
    """Who serves a folder, as its lock file says: the number of the process and its address."""

    process: int
    address: str


@contextmanager
def held(folder: Path) -> Iterator[IO[str]]:
    """Hold a server's folder for the time of a block, which may write a :class:`Holder` into the file.

    Raises:
        Busy: a server runs on it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    place = folder / LOCK
    with place.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            raise Busy(
                f"a server runs on {folder} already{_holder(place)}", hint="stop it, or take another folder"
            ) from problem
        file.truncate(0)
        yield file
        file.truncate(0)


def _holder(place: Path) -> str:
    try:
        there = msgspec.json.decode(place.read_bytes(), type=ready(Holder))
    except (OSError, msgspec.DecodeError):
        return ""  # it is just starting
    return f": process {there.process}, {there.address}"
