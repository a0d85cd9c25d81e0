"""Elements in chunks: boxes of one shape that tile the array, each an extent, possibly compressed.

Arguments:
    chunk: the extents of a chunk. Its elements are in C order; one at the array's edge is stored whole.
    numbers: for each extent the number of its chunk, in C order in the grid of chunks; default 0, 1, 2 …
    filters: what was done to each chunk, in the order of writing: ["shuffle", itemsize], ["deflate", level],
        ["fletcher32"]; default nothing.
    skipped: for each extent a number whose bit n says that filter n was not applied to it; default all 0.
    fill: one element in hexadecimal, as it would be in the file: the value of absent chunks; default zeros.
    byteorder: "little" (default) or "big".

Source: HDF5 File Format Specification Version 3.0, data layout and filter pipeline messages.
"""

from __future__ import annotations

import math
import zlib
from typing import TYPE_CHECKING, Any

from lepton_ai.formats.contract import Malformed, Tensor
from lepton_ai.formats.encodings.dtypes import dtype_of
from lepton_ai.formats.encodings.shapes import nbytes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

DEFLATE_MOST = 1032
"""Deflate never makes more bytes than this of one."""

MOST_FILL = 64 << 20
"""Bytes of an array that may be its fill value without anything being stored."""

CARRIERS = {1: "u1", 2: "u2", 4: "u4", 8: "u8", 16: "c16"}
"""Types that move elements of n bytes without looking at them."""


def decode(tensor: Tensor, parts: Sequence[bytes]) -> Array:
    """An array of ``tensor.shape`` and its dtype, in native byte order, C-contiguous and writable."""
    import numpy as np

    dtype = dtype_of(tensor.dtype)
    chunk = _naturals(tensor, "chunk", ())
    numbers = _naturals(tensor, "numbers", range(len(parts)))
    skipped = _naturals(tensor, "skipped", [0] * len(parts))
    if len(chunk) != len(tensor.shape) or not all(chunk) or (parts and not chunk):
        raise Malformed(f"{tensor.name!r}: chunks of {chunk} for an array of {tensor.shape}")
    if not len(numbers) == len(skipped) == len(parts):
        raise Malformed(f"{tensor.name!r}: {len(parts)} chunks, {len(numbers)} places")
    nbytes, box = nbytes_of(tensor.dtype, tensor.shape), math.prod(chunk) * dtype.itemsize
    check_means(nbytes, sum(map(len, parts)))
    if parts and box > most_box(nbytes):
        raise Malformed(f"{tensor.name!r}: chunks of {box} bytes for an array of {nbytes}")
    carrier = np.dtype(CARRIERS[dtype.itemsize])
    array = _filled(tensor, carrier)
    counts = tuple(-(-extent // step) for extent, step in zip(tensor.shape, chunk, strict=True))
    for number, mask, part in zip(numbers, skipped, parts, strict=True):
        data = unfiltered(tensor, part, mask, box)
        _put(array, np.frombuffer(data, carrier).reshape(chunk), _start(tensor, number, counts, chunk))
    if tensor.args.get("byteorder") == "big" and dtype.itemsize > 1:
        width = dtype.itemsize // 2 if dtype.kind == "c" else dtype.itemsize
        array.reshape(-1).view(f"u{width}").byteswap(inplace=True)
    return array.reshape(-1).view(dtype).reshape(tensor.shape)


def check_means(nbytes: int, stored: int) -> None:
    """Raise Malformed when an array of ``nbytes`` is far beyond what its ``stored`` bytes can hold."""
    if nbytes > MOST_FILL + DEFLATE_MOST * stored:
        raise Malformed(f"an array of {nbytes} bytes, of which {stored} are stored")


def most_box(nbytes: int) -> int:
    """Bytes that a chunk of an array of ``nbytes`` may have: it can be larger than the array, which may have grown.

    Deflated, a chunk takes a thousandth of that, and all of it in memory to give what lies in the array.
    """
    return (16 << 20) + 16 * nbytes


def _naturals(tensor: Tensor, key: str, default: Sequence[int]) -> tuple[int, ...]:
    found = tensor.args.get(key, default)
    if not all(type(number) is int and number >= 0 for number in found):
        raise Malformed(f"{tensor.name!r}: {key!r} of its chunks are no natural numbers")
    return tuple(found)


def _filled(tensor: Tensor, carrier: np.dtype[Any]) -> Array:
    """The array as it is where no chunk is stored."""
    import numpy as np

    try:
        fill = bytes.fromhex(tensor.args.get("fill", ""))
    except ValueError as error:
        raise Malformed(f"{tensor.name!r}: a fill value that is none: {error}") from error
    if not fill:
        return np.zeros(tensor.shape, carrier)
    if len(fill) != carrier.itemsize:
        raise Malformed(f"{tensor.name!r}: a fill value of {len(fill)} bytes")
    return np.full(tensor.shape, np.frombuffer(fill, carrier)[0])


def _start(tensor: Tensor, number: int, counts: tuple[int, ...], chunk: tuple[int, ...]) -> tuple[int, ...]:
    """Coordinates of the first element of chunk ``number``."""
    start = []
    for count, step in zip(reversed(counts), reversed(chunk), strict=True):
        number, coordinate = divmod(number, max(count, 1))
        start.append(coordinate * step)
    if number:
        raise Malformed(f"{tensor.name!r}: a chunk outside of the array")
    return tuple(reversed(start))


def _put(array: Array, box: Array, start: tuple[int, ...]) -> None:
    """Copy a chunk to its place, clipped at the array's edge."""
    target = array[tuple(slice(first, first + step) for first, step in zip(start, box.shape, strict=True))]
    target[...] = box[tuple(slice(0, extent) for extent in target.shape)]


def unfiltered(tensor: Tensor, data: bytes, mask: int, size: int) -> bytes:
    """Undo the filters of one chunk, the last one first, until ``size`` bytes are there.

    Raises:
        Malformed: they cannot be undone, or give another size.
    """
    for place, (name, *values) in reversed(list(enumerate(tensor.args.get("filters", ())))):
        if mask >> place & 1:
            continue
        if name == "deflate":
            data = _inflate(tensor, data, size)
        elif name == "shuffle":
            data = _unshuffle(data, values[0] if values else 1)
        elif name == "fletcher32":
            data = _checked(tensor, data)
        else:
            raise Malformed(f"{tensor.name!r}: its chunks are written with {name}, which cannot be read here")
    if len(data) != size:
        raise Malformed(f"{tensor.name!r}: a chunk of {len(data)} bytes, not of {size}")
    return data


def _inflate(tensor: Tensor, data: bytes, size: int) -> bytes:
    """Undo deflate; at most ``size`` and a little more (checksums of filters before it) may come out."""
    stream = zlib.decompressobj()
    try:
        result = stream.decompress(data, size + 4096)
    except zlib.error as error:
        raise Malformed(f"{tensor.name!r}: a chunk cannot be decompressed: {error}") from error
    if not stream.eof:
        raise Malformed(f"{tensor.name!r}: a chunk is cut, or larger than it says")
    return result


def _unshuffle(data: bytes, itemsize: int) -> bytes:
    """Undo shuffle: byte n of every element stood in plane n, a rest that fills no element at the end."""
    import numpy as np

    count = len(data) // itemsize if itemsize else 0
    if itemsize <= 1 or count <= 1:
        return data
    whole = count * itemsize
    planes = np.frombuffer(data, np.uint8, whole).reshape(itemsize, count)
    return planes.T.tobytes() + data[whole:]


def _checked(tensor: Tensor, data: bytes) -> bytes:
    """Strip and verify Fletcher's checksum."""
    if len(data) < 4:
        raise Malformed(f"{tensor.name!r}: a chunk without its checksum")
    body, stored = data[:-4], int.from_bytes(data[-4:], "little")
    if fletcher32(body) != stored:
        raise Malformed(f"{tensor.name!r}: a chunk does not have the checksum that it was written with")
    return body


def fletcher32(data: bytes) -> int:
    """The checksum of HDF5's filter: sums modulo 65535 of big-endian 16-bit words, 65535 standing for 0."""
    import numpy as np

    first, second, seen = 0, 0, False
    step = 1 << 17
    for start in range(0, len(data), step):
        part = data[start : start + step]
        words = np.frombuffer(part + b"\0" * (len(part) % 2), ">u2").astype(np.uint64)
        seen = seen or bool(words.any())
        weights = np.arange(len(words), 0, -1, dtype=np.uint64)
        second = (second + first * len(words) + int((words * weights).sum())) % 65535
        first = (first + int(words.sum())) % 65535
    if seen:
        first, second = first or 65535, second or 65535
    return second << 16 | first
