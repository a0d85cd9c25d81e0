"""GGUF, the files of llama.cpp: a header of keys and values, a list of tensors, then the tensors, aligned.

Plain numbers come out as arrays of their type. Quantised tensors are of type "gguf.Q4_K" and the like: their
shape counts elements, their bytes are blocks in which scales and values alternate. Tensors of a type that is
not known here stay opaque.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; block sizes as in gguf-py's constants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.checks import clean_name
from lepton_ai.formats.contract import (
    MAX_DIMENSIONS,
    MAX_TENSORS,
    Extent,
    Layout,
    Malformed,
    Segment,
    Tensor,
    partition,
)
from lepton_ai.formats.encodings.shapes import count_of, nbytes_of
from lepton_ai.formats.window import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.formats.contract import Format, Source

MAGIC = b"GGUF"

NUMBERS = {
    0: "float32",
    1: "float16",
    24: "int8",
    25: "int16",
    26: "int32",
    27: "int64",
    28: "float64",
    30: "bfloat16",
}

BLOCKS = {
    2: ("Q4_0", 32, 18),
    3: ("Q4_1", 32, 20),
    6: ("Q5_0", 32, 22),
    7: ("Q5_1", 32, 24),
    8: ("Q8_0", 32, 34),
    9: ("Q8_1", 32, 40),
    10: ("Q2_K", 256, 84),
    11: ("Q3_K", 256, 110),
    12: ("Q4_K", 256, 144),
    13: ("Q5_K", 256, 176),
    14: ("Q6_K", 256, 210),
    15: ("Q8_K", 256, 292),
    16: ("IQ2_XXS", 256, 66),
    17: ("IQ2_XS", 256, 74),
    18: ("IQ3_XXS", 256, 98),
    19: ("IQ1_S", 256, 50),
    20: ("IQ4_NL", 32, 18),
    21: ("IQ3_S", 256, 110),
    22: ("IQ2_S", 256, 82),
    23: ("IQ4_XS", 256, 136),
    29: ("IQ1_M", 256, 56),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    39: ("MXFP4", 32, 17),
    40: ("NVFP4", 64, 36),
    41: ("Q1_0", 128, 18),
}
"""ggml type → its name, elements in a block, bytes of a block."""

SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Type of a value → its bytes."""

UINT32, STRING, ARRAY = 4, 8, 9

MOST_ITEMS = 4_000_000
DEEPEST = 8


class Gguf:
    """The reader of GGUF files, versions 2 and 3, little-endian."""

    name = "gguf"

    def claims(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the magic number says it all)
        """By the magic number."""
        return head.startswith(MAGIC)

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .gguf."""
        return path.lower().endswith(".gguf")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (one file)
        """Where the tensors are."""
        header = _Header(source)
        tensors, unknown = header.tensors()
        segments = [
            Segment(extent.offset, extent.length, tensor.name, _hint(tensor))
            for tensor in tensors
            for extent in tensor.extents
        ]
        note = f"{unknown} tensors of types that are not known here are kept as they are" if unknown else ""
        return Layout(self.name, partition(source.size, segments), tensors, note=note)


def _hint(tensor: Tensor) -> str:
    return "bytes" if "." in tensor.dtype else tensor.dtype


class _Header:
    """What stands before the tensors, read from front to back."""

    def __init__(self, source: Source) -> None:
        self._window, self._at, self._left = Window(source), len(MAGIC), MOST_ITEMS
        self._alignment = 32
        version = self._number(4)
        if version not in {2, 3}:
            swapped = version & 0xFFFF == 0
            raise Malformed("it is big-endian" if swapped else f"it is GGUF of version {version}")
        self._tensors, self._values = self._number(8), self._number(8)

    def tensors(self) -> tuple[tuple[Tensor, ...], int]:
        """The tensors, and how many more there are of types that are not known.

        Raises:
            Malformed: the header is cut, lies, or is of a kind that nobody writes.
        """
        for _ in range(self._count(self._values, 12)):
            self._value()
        if self._tensors > MAX_TENSORS:
            raise Malformed(f"{self._tensors} tensors are announced")
        infos = [self._info() for _ in range(self._count(self._tensors, 24))]
        start = -(-self._at // self._alignment) * self._alignment
        found: dict[str, Tensor] = {}
        unknown = 0
        for name, shape, kind, offset in infos:
            described = _described(kind, shape)
            if described is None:
                unknown += 1
                continue
            if not name or name in found:
                raise Malformed(f"two tensors are called {name!r}" if name else "a tensor without a name")
            dtype, nbytes = described
            extents = (Extent(start + offset, nbytes),) if nbytes else ()
            found[name] = Tensor(name, dtype, shape, extents)
        return tuple(found.values()), unknown

    def _value(self) -> None:
        key, kind = self._text(), self._number(4)
        if key == b"general.alignment":
            self._alignment = self._number(4)
            if kind != UINT32 or self._alignment.bit_count() != 1:
                raise Malformed("its alignment is not a power of two")
        else:
            self._skip(kind, 0)

    def _skip(self, kind: int, depth: int) -> None:
        """Step over one value."""
        if kind in SCALARS:
            self._step(SCALARS[kind])
        elif kind == STRING:
            self._step(self._number(8))
        elif kind == ARRAY and depth < DEEPEST:
            inner, count = self._number(4), self._number(8)
            if inner in SCALARS:
                self._step(count * SCALARS[inner])
            else:
                for _ in range(self._count(count, 8)):
                    self._skip(inner, depth + 1)
        else:
            raise Malformed(f"a value of type {kind} at byte {self._at}")

    def _info(self) -> tuple[str, tuple[int, ...], int, int]:
        try:
            name = clean_name(self._text().decode())
        except UnicodeDecodeError as error:
            raise Malformed(f"a name that is not UTF-8 before byte {self._at}") from error
        rank = self._number(4)
        if rank > MAX_DIMENSIONS:
            raise Malformed(f"{name!r} has {rank} dimensions")
        shape = tuple(self._number(8) for _ in range(rank))
        return name, shape[::-1], self._number(4), self._number(8)

    def _number(self, width: int) -> int:
        value = int.from_bytes(self._window.read(self._at, width), "little")
        self._at += width
        return value

    def _text(self) -> bytes:
        """A short text: a key or a name."""
        length = self._number(8)
        if length > 65535:
            raise Malformed(f"a name of {length} bytes at byte {self._at}")
        value = self._window.read(self._at, length)
        self._at += length
        return value

    def _step(self, length: int) -> None:
        self._at += length
        if self._at > self._window.size:
            raise Malformed("the header goes on beyond the end of the file")

    def _count(self, count: int, least: int) -> int:
        """``count``, if so many items of at least ``least`` bytes can still come."""
        self._left -= count
        if count * least > self._window.size - self._at or self._left < 0:
            raise Malformed(f"{count} items are announced at byte {self._at}")
        return count


def _described(kind: int, shape: tuple[int, ...]) -> tuple[str, int] | None:
    """The element type and the bytes of a tensor; None when the type is not known."""
    if kind in NUMBERS:
        return NUMBERS[kind], nbytes_of(NUMBERS[kind], shape)
    if kind not in BLOCKS:
        return None
    name, elements, width = BLOCKS[kind]
    if not shape or shape[-1] % elements:
        raise Malformed(f"rows of {shape[-1:]} elements are no blocks of {name}")
    return f"gguf.{name}", count_of(shape) // elements * width


FORMAT: Format = Gguf()
