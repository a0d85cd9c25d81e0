"""What never changes about a repository, in ``.lepton/config.json``."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged, NotFound, StorageFailed, TooNew
from lepton_ai.store.store import BLOCK_SIZE

FORMAT = 1


class Config(msgspec.Struct, frozen=True):
    """What never changes about a repository. ``block_size`` in bytes."""

    id: str
    created_at: str
    encrypted: bool
    block_size: int = BLOCK_SIZE
    format: int = FORMAT


def read_config(place: Path) -> Config:
    """What stands in ``config.json``.

    Raises:
        NotFound, StorageFailed, Damaged, TooNew.
    """
    file = place / "config.json"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise NotFound(f"there is no repository in {place.parent}", hint="lepton init makes one") from None
    except OSError as problem:
        raise StorageFailed(f"{file} cannot be read: {problem.strerror}") from problem
    try:
        number = msgspec.json.decode(data, type=dict[str, object]).get("format")
        if not isinstance(number, int) or number < 1:
            raise Damaged(f"{file} names no format", hint="restore it from a backup")
        if number > FORMAT:
            raise TooNew(
                f"{place} has format {number}, this tool knows {FORMAT}", hint="use a newer lepton-ai"
            )
        return msgspec.json.decode(data, type=ready(Config))
    except msgspec.MsgspecError as problem:
        raise Damaged(f"{file} cannot be read: {problem}", hint="restore it from a backup") from problem
