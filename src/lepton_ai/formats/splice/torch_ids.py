"""The id that torch writes into an archive: 20 digits of its members' names, 20 of their checksums.

Source: https://github.com/pytorch/pytorch/blob/v2.13.0/caffe2/serialize/inline_container.cc
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from lepton_ai.formats.contract import Source
from lepton_ai.formats.zip_members import Member

SERIALIZATION_ID = ".data/serialization_id"
DIGITS = 20
_MASK = (1 << 64) - 1


def serialization_id(content: Source, members: Sequence[Member], crcs: Mapping[int, int]) -> bytes:
    """The id when the members at these headers have new checksums; empty when the old one was made in another way."""
    old = content.read(0, content.size)
    if old[DIGITS:] != _digits(member.crc for member in members):
        return b""
    return old[:DIGITS] + _digits(crcs.get(member.header, member.crc) for member in members)


def _digits(crcs: Iterable[int]) -> bytes:
    seed = 0
    for crc in crcs:
        seed = (seed ^ (crc + 0x9E3779B9 + (seed << 6 & _MASK) + (seed >> 2))) & _MASK
    return f"{seed:0{DIGITS}}".encode()
