"""Small charts as SVG, drawn with the colour of the text around them: they fit a light page and a dark one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from lepton_ai.history.diff.contract import Histogram
from lepton_ai.history.diff.words import short


def histogram(found: Histogram | None, width: int = 120, height: int = 30) -> str:
    """Differences by size, small to large: increases above the line, decreases below it."""
    if found is None:
        return ""
    bins = len(found.negative)
    step, half = width / max(bins, 8), height / 2
    top = max(*found.negative, *found.positive, 1)
    up = "".join(_bar(i, step, half, -half * n / top) for i, n in enumerate(found.positive) if n)
    down = "".join(_bar(i, step, half, half * n / top) for i, n in enumerate(found.negative) if n)
    label = f"|Δ| from {short(found.edges[0])} to {short(found.edges[-1])}"
    return (
        f'<svg class="hist" viewBox="0 0 {width} {height}" width="{width}" height="{height}" role="img" '
        f'aria-label="{label}"><title>{label}; increases above the line, decreases below</title>'
        f'<path class="up" d="{up}"/><path class="down" d="{down}"/>'
        f'<path class="axis" d="M0 {half:g}H{width}"/></svg>'
    )


def bar(share: float, width: int = 160) -> str:
    """A bar of ``share`` (0 … 1) of the width."""
    length = max(1.0, width * min(share, 1.0)) if share else 0
    return (
        f'<svg class="bar" viewBox="0 0 {width} 10" width="{width}" height="10" aria-hidden="true">'
        f'<rect class="up" width="{length:.1f}" height="10" rx="2"/></svg>'
    )


def line(labels: Sequence[str], values: Sequence[float | None], width: int = 720, height: int = 260) -> str:
    """Values over versions: a line with a dot for each; gaps where there is no value."""
    known = [v for v in values if v is not None and math.isfinite(v)]
    if not known:
        return ""
    low, high = min(known), max(known)
    if low == high:
        low, high = low - abs(low or 1) * 0.05, high + abs(high or 1) * 0.05
    left, right, top, bottom = 76, width - 14, 12, height - 30
    across = (right - left) / max(len(values) - 1, 1)

    def place(number: int, value: float) -> tuple[float, float]:
        return left + across * number, bottom - (value - low) / (high - low) * (bottom - top)

    path, dots, fresh = "", "", True
    for number, value in enumerate(values):
        if value is None or not math.isfinite(value):
            fresh = True
            continue
        x, y = place(number, value)
        path += f"{'M' if fresh else 'L'}{x:.1f} {y:.1f}"
        told = f"{escape(labels[number])}: {value:.6g}"
        dots += f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5"><title>{told}</title></circle>'
        fresh = False
    every = -(-len(labels) // 12)
    names = "".join(
        f'<text x="{left + across * i:.1f}" y="{height - 8}" text-anchor="middle">{escape(label)}</text>'
        for i, label in enumerate(labels)
        if i % every == 0
    )
    heights = [low + (high - low) * i / 4 for i in range(5)]
    ticks = "".join(_tick(told, i, left, right, top, bottom) for i, told in enumerate(_distinct(heights)))
    return (
        f'<svg class="plot" viewBox="0 0 {width} {height}" role="img" aria-label="values by version">'
        f'{ticks}{names}<path class="line" d="{path}"/>{dots}</svg>'
    )


def _bar(number: int, step: float, base: float, rise: float) -> str:
    return f"M{number * step:.1f} {base:g}h{step * 0.85:.1f}v{rise:.1f}h{-step * 0.85:.1f}z"


def _distinct(values: Sequence[float]) -> list[str]:
    """The numbers with as few digits as tell them apart."""
    for digits in range(3, 17):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(texts):
            break
    return texts


def _tick(told: str, number: int, left: int, right: int, top: int, bottom: int) -> str:
    y = bottom - (bottom - top) * number / 4
    return (
        f'<path class="grid" d="M{left} {y:.1f}H{right}"/>'
        f'<text x="{left - 8}" y="{y + 4:.1f}" text-anchor="end">{told}</text>'
    )
