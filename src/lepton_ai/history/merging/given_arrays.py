"""A tensor that somebody gives as an .npy file."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import UsageError

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]


def array(data: bytes, where: str) -> Array:
    """The array of an .npy file, as it is written there; objects are refused, since reading them could run code.

    Raises:
        UsageError: it is none; names ``where``.
    """
    import numpy as np

    if not data.startswith((b"\x93NUMPY", b"PK")):  # numpy would take it for a pickle
        raise UsageError(f"{where}: it is no .npy file", hint="write it with numpy.save")
    try:
        found = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, OSError, EOFError) as problem:
        raise UsageError(
            f"{where}: it is no .npy file of numbers: {problem}", hint="write it with numpy.save"
        ) from None
    if not isinstance(found, np.ndarray):
        raise UsageError(f"{where}: it is an .npz archive, not one array", hint="write it with numpy.save")
    return found


def check(given: Array, dtype: str, shape: tuple[int, ...], where: str) -> None:
    """Raise UsageError unless ``given`` can stand for a tensor of this type and shape without losing its meaning.

    Floats of any width become floats of another; everything else must have the tensor's own type.
    """
    if tuple(given.shape) != shape:
        raise UsageError(
            f"{where} has the shape {list(given.shape)}, the tensor {list(shape)}",
            hint="reshape or transpose it",
        )
    both_floats = given.dtype.kind == "f" and dtype.startswith(("float", "bfloat"))
    if not both_floats and given.dtype.name != dtype:
        raise UsageError(f"{where} is {given.dtype.name}, the tensor {dtype}", hint=f"save it as {dtype}")
