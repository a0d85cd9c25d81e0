"""The compiled half of the tiles codec, when this installation has it.

`tiles.c` is compiled when the package is built or installed (hatch_build.py). Without it everything works, slower and
with other, larger differences. ``LEPTON_AI_NO_KERNEL=1`` does as if it were not there, ``LEPTON_AI_NO_KERNEL=wide`` as
if the processor had no AVX-512.
"""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache
from pathlib import Path

from lepton_ai.store.codecs.contract import Bytes

LIBRARY = Path(__file__).with_name("tiles.so")
SWITCH = "LEPTON_AI_NO_KERNEL"
MOST = 1 << 20
"""Numbers of a block at most."""


class Kernel:
    """The functions of ``tiles.c``. Thread-safe; the GIL is free while they run.

    ``narrow``: with the loops that every processor can, for tests; both write and read the same.
    """

    def __init__(self, library: ctypes.CDLL, *, narrow: bool = False) -> None:
        self._narrow = int(narrow)
        number, place = ctypes.c_int, ctypes.c_void_p
        size = ctypes.c_uint64
        self._encode, self._decode = library.tiles_encode, library.tiles_decode
        self._encode.argtypes = [place, place, size, number, number, number, place, size, place, number]
        self._encode.restype = ctypes.c_int64
        self._decode.argtypes = [place, size, place, size, number, place, place, number]
        self._decode.restype = number
        library.tiles_work.restype = ctypes.c_size_t
        self.wide = bool(library.tiles_wide()) and not narrow
        self._work_size = int(library.tiles_work())
        self._local = threading.local()

    def encode(
        self, plain: Bytes, base: Bytes | None, numbers: int, width: int, mantissa: int, exponent: int
    ) -> bytes | None:
        """The payload for ``numbers`` numbers; None when it would not be shorter than they are."""
        room = numbers * width
        out = self._buffer("out", room)
        done: int = self._encode(
            _address(plain),
            _address(base),
            numbers,
            width,
            mantissa,
            exponent,
            out,
            room,
            self._work(),
            self._narrow,
        )
        return ctypes.string_at(out, done) if done > 0 else None

    def decode(
        self, payload: Bytes, base: Bytes | None, numbers: int, width: int, plain: bytearray | memoryview
    ) -> bool:
        """Fill the beginning of ``plain``; False when the payload is damaged."""
        done: int = self._decode(
            _address(payload),
            len(payload),
            _address(base),
            numbers,
            width,
            _target(plain),
            self._work(),
            self._narrow,
        )
        return done == 0

    def _work(self) -> ctypes.Array[ctypes.c_char]:
        return self._buffer("work", self._work_size)

    def _buffer(self, name: str, size: int) -> ctypes.Array[ctypes.c_char]:
        """This thread's buffer of that name, zero at first."""
        held: ctypes.Array[ctypes.c_char] | None = getattr(self._local, name, None)
        if held is None or len(held) < size:
            held = ctypes.create_string_buffer(size)
            setattr(self._local, name, held)
        return held


class _Exported(ctypes.Structure):
    """Py_buffer of Python's C API."""

    _fields_ = (
        ("buf", ctypes.c_void_p),
        ("obj", ctypes.py_object),
        ("len", ctypes.c_ssize_t),
        ("itemsize", ctypes.c_ssize_t),
        ("readonly", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("format", ctypes.c_char_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("suboffsets", ctypes.c_void_p),
        ("internal", ctypes.c_void_p),
    )


_export, _release = ctypes.pythonapi.PyObject_GetBuffer, ctypes.pythonapi.PyBuffer_Release
_export.argtypes = [ctypes.py_object, ctypes.POINTER(_Exported), ctypes.c_int]
_release.argtypes = [ctypes.POINTER(_Exported)]
_release.restype = None


def _address(data: Bytes | None) -> object:
    """Something that ctypes passes as a pointer to the bytes, while the caller holds them."""
    if data is None or isinstance(data, bytes):
        return data
    if isinstance(data, memoryview) and not data.contiguous:
        return bytes(data)
    if isinstance(data, memoryview) and data.readonly:
        view = _Exported()
        _export(data, view, 0)  # ctypes itself refuses what must not be written to
        address: int | None = view.buf
        _release(view)
        return address
    return ctypes.byref(ctypes.c_char.from_buffer(data)) if len(data) else None


def _target(room: bytearray | memoryview) -> object:
    """The same for memory that is to be filled."""
    if isinstance(room, memoryview) and (room.readonly or not room.contiguous or room.itemsize != 1):
        raise TypeError("a kernel fills writable bytes in one piece")
    return ctypes.byref(ctypes.c_char.from_buffer(room))


@cache
def kernel() -> Kernel | None:
    """The kernel; None when there is none, or it is switched off."""
    switch = os.environ.get(SWITCH, "").lower()
    if switch in {"1", "true", "yes"}:
        return None
    try:
        return Kernel(ctypes.CDLL(str(LIBRARY)), narrow=switch == "wide")
    except (OSError, AttributeError):  # not compiled, or for another machine: the fallback reads everything
        return None
