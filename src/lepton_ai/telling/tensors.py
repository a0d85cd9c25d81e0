"""Tensors in plain values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from lepton_ai.history.elements import Elements


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


STEP = 1 << 20
"""Elements that are summed up at a time."""


def summed(elements: Elements) -> dict[str, Any]:
    """What :func:`summary` tells of a tensor, read in parts; nothing of what are no numbers."""
    import numpy as np

    low, high, zeros, count, total, squares = np.inf, -np.inf, 0, 0, 0.0, 0.0
    shift: float | None = None
    for start in range(0, elements.size, STEP):
        part = numbers(elements.part(start, min(elements.size, start + STEP)))
        if part is None:
            return {}
        zeros += int(part.size - np.count_nonzero(part))
        wide = part[np.isfinite(part)].astype(np.float64)
        if not wide.size:
            continue
        shift = float(wide.flat[0]) if shift is None else shift  # sums of what is left stay exact enough
        low, high = min(low, float(wide.min())), max(high, float(wide.max()))
        count, total = count + wide.size, total + float((wide - shift).sum())
        squares += float(((wide - shift) ** 2).sum())
    told: dict[str, Any] = {"zeros": zeros, "not_finite": elements.size - count}
    if shift is None:
        return told
    mean = total / count
    spread = max(0.0, squares / count - mean * mean) ** 0.5
    return told | {"min": low, "max": high, "mean": shift + mean, "std": spread}
