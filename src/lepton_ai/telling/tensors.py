"""Tensors in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def summary(array: np.ndarray[Any, np.dtype[Any]]) -> dict[str, Any]:
    """Smallest, largest, mean and standard deviation of what is finite, and how much is zero or not finite."""
    import numpy as np

    numeric = numbers(array)
    if numeric is None or array.size == 0:
        return {"elements": int(array.size), "nbytes": int(array.nbytes)}
    finite = numeric[np.isfinite(numeric)]
    facts: dict[str, Any] = {"elements": int(array.size), "nbytes": int(array.nbytes)}
    if finite.size:
        wide = finite.astype(np.float64)
        facts |= {"min": float(wide.min()), "max": float(wide.max())}
        facts |= {"mean": float(wide.mean()), "std": float(wide.std())}
    return facts | {
        "zeros": int(array.size - np.count_nonzero(numeric)),
        "not_finite": int(array.size - finite.size),
    }


def numbers(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The array as a type that numpy itself knows and calculates with; None for texts and complex numbers."""
    import numpy as np

    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "V" and array.dtype.names is None:
        try:
            return array.astype(np.float32)  # bfloat16, float8, int4 …: exact, they all fit
        except (TypeError, ValueError):
            return None
    return None
