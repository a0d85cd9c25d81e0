"""The checksum of HDF5's metadata.

Source: Bob Jenkins, lookup3, hashlittle, https://burtleburtle.net/bob/c/lookup3.c
"""

from __future__ import annotations

import struct

_MASK = 0xFFFFFFFF
_MIX = ((0, 2, 4), (1, 0, 6), (2, 1, 8), (0, 2, 16), (1, 0, 19), (2, 1, 4))
_FINAL = ((2, 1, 14), (0, 2, 11), (1, 0, 25), (2, 1, 16), (0, 2, 4), (1, 0, 14), (2, 1, 24))


def lookup3(data: bytes) -> int:
    """The checksum of ``data``."""
    state = [(0xDEADBEEF + len(data)) & _MASK] * 3
    whole = max(len(data) - 1, 0) // 12 * 12
    for words in struct.iter_unpack("<3I", data[:whole]):
        state = [(value + word) & _MASK for value, word in zip(state, words, strict=True)]
        for to, by, bits in _MIX:
            state[to] = (state[to] - state[by] & _MASK) ^ _turned(state[by], bits)
            third = 3 - to - by
            state[by] = (state[by] + state[third]) & _MASK
    if data:
        rest = struct.unpack("<3I", data[whole:].ljust(12, b"\0"))
        state = [(value + word) & _MASK for value, word in zip(state, rest, strict=True)]
        for to, by, bits in _FINAL:
            state[to] = ((state[to] ^ state[by]) - _turned(state[by], bits)) & _MASK
    return state[2]


def _turned(value: int, bits: int) -> int:
    return (value << bits | value >> 32 - bits) & _MASK
