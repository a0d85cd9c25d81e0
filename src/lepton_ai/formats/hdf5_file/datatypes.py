"""Element types: the ones that numpy and ml_dtypes have; everything else is kept as opaque bytes."""

from __future__ import annotations

from typing import NamedTuple

from lepton_ai.formats.hdf5_file.access import Cursor, Unreadable

FIXED, FLOAT, OPAQUE, COMPOUND, ENUM = 0, 1, 5, 6, 8

FLOATS = {
    # size, sign's place, exponent's place and size, mantissa's place and size, bias
    (2, 15, 10, 5, 0, 10, 15): "float16",
    (4, 31, 23, 8, 0, 23, 127): "float32",
    (8, 63, 52, 11, 0, 52, 1023): "float64",
    (2, 15, 7, 8, 0, 7, 127): "bfloat16",
}


class Element(NamedTuple):
    """The type of a dataset's elements: a name of numpy's or ml_dtypes', bytes per element, byte order."""

    name: str
    size: int
    big: bool = False

    @property
    def hint(self) -> str:
        """What to tell the codec; the bytes of big-endian numbers are not those of the type that is named."""
        if not self.big or self.size == 1:
            return self.name
        return f"uint{4 * self.size if self.name.startswith('complex') else 8 * self.size}"


def read_datatype(data: bytes) -> Element:
    """What a datatype message says.

    Raises:
        Unreadable: the type is not one of numpy's plain ones.
    """
    cursor = Cursor(data)
    kind, version, bits, size = _head(cursor)
    if kind == COMPOUND and size in (8, 16) and bits & 0xFFFF == 2:
        return _complex(cursor, version, size)
    if kind == ENUM and size == 1 and bits & 0xFFFF == 2:
        return _bool(cursor, version)
    return _number(Cursor(data))


def is_pair_of_bytes(data: bytes) -> bool:
    """Whether the type is "two opaque bytes", as h5py writes bfloat16."""
    return len(data) >= 8 and data[0] & 0x0F == OPAQUE and data[4:8] == b"\x02\0\0\0"


def _head(cursor: Cursor) -> tuple[int, int, int, int]:
    """Class, version, class bits and size in bytes."""
    first = cursor.number(1)
    return first & 0x0F, first >> 4, cursor.number(3), cursor.number(4)


def _number(cursor: Cursor) -> Element:
    kind, _, bits, size = _head(cursor)
    if kind == FIXED:
        return _fixed(cursor, bits, size)
    if kind == FLOAT:
        return _float(cursor, bits, size)
    raise Unreadable(f"elements of class {kind}")


def _fixed(cursor: Cursor, bits: int, size: int) -> Element:
    offset, precision = cursor.number(2), cursor.number(2)
    if size not in (1, 2, 4, 8) or offset or precision != 8 * size:
        raise Unreadable(f"integers of {precision} bits in {size} bytes")
    return Element(f"{'int' if bits & 8 else 'uint'}{precision}", size, bool(bits & 1))


def _float(cursor: Cursor, bits: int, size: int) -> Element:
    offset, precision = cursor.number(2), cursor.number(2)
    exponent, exponent_size, mantissa, mantissa_size = cursor.take(4)
    shape = (size, bits >> 8 & 0xFF, exponent, exponent_size, mantissa, mantissa_size, cursor.number(4))
    implied, vax = bits >> 4 & 3 == 2, bits & 0x40
    if shape not in FLOATS or offset or precision != 8 * size or not implied or vax:
        raise Unreadable(f"floating point numbers that are not IEEE's, of {size} bytes")
    return Element(FLOATS[shape], size, bool(bits & 1))


def _complex(cursor: Cursor, version: int, size: int) -> Element:
    """A compound of r and i: h5py's complex numbers."""
    parts = []
    for name, offset in ((b"r", 0), (b"i", size // 2)):
        padded = 1 if version >= 3 else 8
        if cursor.name(8, padded) != name or cursor.number(1 if version >= 3 else 4) != offset:
            raise Unreadable("compound elements")
        if version == 1:
            cursor.skip(28)
        parts.append(_number(cursor))
    if parts[0] != parts[1] or parts[0].name != f"float{4 * size}":
        raise Unreadable("compound elements")
    return Element(f"complex{8 * size}", size, parts[0].big)


def _bool(cursor: Cursor, version: int) -> Element:
    """An enumeration of FALSE and TRUE over int8: h5py's truth values."""
    base = _number(cursor)
    names = [cursor.name(8, 1 if version >= 3 else 8) for _ in range(2)]
    if base.name not in ("int8", "uint8") or names != [b"FALSE", b"TRUE"] or cursor.take(2) != b"\0\1":
        raise Unreadable("enumerated elements")
    return Element("bool", 1)
