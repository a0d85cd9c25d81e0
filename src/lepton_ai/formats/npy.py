"""numpy's .npy: a magic word, a version, the length of a header, the header (a dict's text), the elements.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from lepton_ai.formats.contract import Extent, Layout, Malformed, Segment, Source, Tensor, partition
from lepton_ai.formats.encodings.dtypes import ITEMSIZE, NUMPY
from lepton_ai.formats.encodings.shapes import nbytes_of

if TYPE_CHECKING:
    from collections.abc import Mapping

MAGIC = b"\x93NUMPY"
MAX_HEADER = 10_000
"""numpy refuses longer headers, too. Reading this many bytes shows any header whole."""

PREFIX = 12
_ITEM = re.compile(
    r"""\s*(?P<quote>['"])(?P<key>descr|fortran_order|shape)(?P=quote)\s*:\s*"""
    r"""(?:(?P<q>['"])(?P<text>[^'"]*)(?P=q)|(?P<bool>True|False)|\((?P<shape>[\d\s,L]*)\))\s*(?:,|(?=\}))"""
)
_KINDS = {"f": "float", "i": "int", "u": "uint", "c": "complex", "b": "bool"}


class Header(msgspec.Struct, frozen=True):
    """What the header says; ``start`` is where the elements begin, ``length`` how many bytes they take."""

    dtype: str
    shape: tuple[int, ...]
    args: dict[str, str]
    start: int
    length: int


class Npy:
    """The reader."""

    name = "npy"

    def claims(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (contract)
        """Whether the file begins with the magic word."""
        return head.startswith(MAGIC)

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .npy."""
        return path.lower().endswith(".npy")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (contract)
        """Where the array sits; it is called "array", because files' names differ from version to version."""
        header = parse(source.read(0, min(source.size, PREFIX + MAX_HEADER)))
        segment = Segment(header.start, header.length, "array", header.dtype)
        extents = (Extent(header.start, header.length),) if header.length else ()
        tensor = Tensor("array", header.dtype, header.shape, extents, args=dict(header.args))
        return Layout(self.name, partition(source.size, [segment]), (tensor,))


def parse(head: bytes) -> Header:
    """The header in the first bytes of an array; nothing in it is evaluated.

    Raises:
        Malformed: it is cut or lies, or the elements are objects, records, text or dates.
    """
    if not head.startswith(MAGIC) or len(head) < PREFIX:
        raise Malformed("it does not begin like an array of numpy")
    version = head[6]
    if version not in {1, 2, 3}:
        raise Malformed(f"an array in version {version} of the format")
    begin = 10 if version == 1 else 12
    start = begin + int.from_bytes(head[8:begin], "little")
    if start > len(head):
        raise Malformed("a header that is cut or too long")
    try:
        text = head[begin:start].decode("latin-1" if version < 3 else "utf-8").strip()
    except UnicodeDecodeError:
        raise Malformed("a header that is no text") from None
    dtype, shape, fortran = _fields(text)
    name, order = _dtype(dtype)
    args = {"byteorder": "big"} if order == ">" else {}
    if fortran:
        args["order"] = "F"
    return Header(name, shape, args, start, nbytes_of(name, shape))


def _fields(text: str) -> tuple[str, tuple[int, ...], bool]:
    """The type, the shape and whether the order is Fortran's."""
    if not text.startswith("{") or not text.endswith("}"):
        raise Malformed("a header that is no dict")
    found: dict[str, re.Match[str]] = {}
    place = 1
    while item := _ITEM.match(text, place):
        if item["key"] in found:
            raise Malformed("a header that says the same twice")
        found[item["key"]] = item
        place = item.end()
    descr, order, shape = (found.get(key) for key in ("descr", "fortran_order", "shape"))
    if text[place:].strip() != "}" or descr is None or order is None or shape is None:
        raise Malformed("a header that describes no plain array")
    if descr["text"] is None or order["bool"] is None or shape["shape"] is None:
        raise Malformed("a header that describes no plain array")
    return descr["text"], _shape(shape["shape"]), order["bool"] == "True"


def _shape(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if parts[-1] == "":
        parts.pop()
    numbers = [part.removesuffix("L") for part in parts]  # Python 2 wrote long numbers so
    if not all(number.isdecimal() and len(number) < 20 for number in numbers):
        raise Malformed("a shape that makes no sense")
    return tuple(int(number) for number in numbers)


def _dtype(descr: str) -> tuple[str, str]:
    """Our name and the byte order of "<f4"."""
    match = re.fullmatch(r"([<>|])([fiucb])(1|2|4|8|16)", descr)
    name = ""
    if match:
        name = "bool" if match[2] == "b" else f"{_KINDS[match[2]]}{8 * int(match[3])}"
    if not match or name not in NUMPY or (match[2] == "b" and match[3] != "1"):
        raise Malformed(f"elements of type {descr[:80]!r}")
    if match[1] == "|" and ITEMSIZE[name] > 1:
        raise Malformed(f"elements of type {descr[:80]!r} without a byte order")
    return name, match[1]


FORMAT = Npy()
