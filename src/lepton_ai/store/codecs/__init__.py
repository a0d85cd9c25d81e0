"""Codecs: how the plain bytes of a block become fewer bytes, a file each.

Importing a codec is cheap; numpy and zstandard are loaded when the first block is coded.
"""

from __future__ import annotations

from lepton_ai.errors import Damaged, TooNew
from lepton_ai.store.codecs import difference, planes, raw, sparse, tiles, zstd
from lepton_ai.store.codecs.contract import Bytes, Codec, Element

CODECS: dict[int, Codec] = {
    codec.number: codec
    for codec in (raw.CODEC, zstd.CODEC, planes.CODEC, difference.CODEC, tiles.FULL, tiles.EDGE, sparse.CODEC)
}


def decode(
    number: int,
    version: int,
    data: Bytes,
    element: Element,
    base: Bytes | None,
    plain_length: int,
    into: memoryview | None = None,
) -> Bytes:
    """Decode with the codec that an object's header names. The caller checks the plain id.

    ``into``: memory of ``plain_length`` bytes that is to be filled; it is what comes back then.

    Raises:
        TooNew: the codec or its version is not known here.
        Damaged: the data was not made by it.
    """
    codec = CODECS.get(number)
    if codec is None or not 1 <= version <= codec.version:
        raise TooNew(f"codec {number} version {version} is not known here", hint="upgrade lepton-ai")
    if codec.needs_base and base is None:
        raise Damaged(f"an object coded as {codec.name} names no base")
    if into is not None and isinstance(codec, tiles.Tiles):
        codec.fill(data, element, base, into)
        return into
    result = codec.decode(data, version, element, base, plain_length)
    if len(result) != plain_length:
        raise Damaged(f"{codec.name} gave {len(result)} bytes, {plain_length} are due")
    if into is None:
        return result
    into[:] = result
    return into
