"""The figures as a table of Markdown and a curve, and into the documentation."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from benchmarks.catalog.asking import WHOLE, WHOLE_AT_TIMES
from benchmarks.catalog.fitting import logarithm, proportional

_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)
BEYOND = (10_000_000, 100_000_000)
"""Versions for which nothing was measured."""
SHOWN = {
    "permission check: token, repository": "permission check",
    "list versions, newest 50, largest repository": "list",
    "search: metric > x AND author": "search",
    "log of one branch, 50, largest": "log",
    "show a version by its name, largest": "show",
    "ref move: compare-and-set of an alias": "ref move",
}
"""What is drawn, and what it is called there."""
_COLOURS = ("#4269d0", "#efb118", "#ff725c", "#6cc5b0", "#3ca951", "#a463f2")
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _RIGHT, _TOP = 720, 380, 50, 40, 130, 20


def page(told: dict[str, Any]) -> str:
    """A row for every question: median and 99th percentile in ms, measured, and beyond that as the medians grow."""
    sizes = told["sizes"]
    beyond = BEYOND if len(sizes) > 2 else ()
    heads = [f"{size['versions']:,}" for size in sizes] + [f"*{n:,}*" for n in beyond]
    lines = [
        f"{told['machine']}; {told['at']}.",
        "",
        f"| p50 / p99, ms, with versions | {' | '.join(heads)} |",
    ]
    lines.append("| --- |" + " --- |" * len(heads))
    for row in zip(*(size["timed"] for size in sizes), strict=True):
        cells = [f"{one['p50']:.1f} / {one['p99']:.1f}" for one in row]
        if beyond:
            cells += [_beyond(told, row[0]["name"], n) for n in beyond]
        lines.append(f"| {row[0]['name']} | {' | '.join(cells)} |")
    empty = " |" * len(beyond)
    for called, shown in (
        ("versions in the largest repository", [f"{size['largest']:,}" for size in sizes]),
        ("rows in the database", [f"{size['rows']:,}" for size in sizes]),
        ("GB in the database", [f"{size['bytes'] / 1e9:,.2f}" for size in sizes]),
    ):
        lines.append(f"| {called} | {' | '.join(shown)} |{empty}")
    return "\n".join(lines)


def put(told: dict[str, Any], file: Path) -> None:
    """Replace the figures between the two marks of ``file``, and draw the curve beside it."""
    found = page(told)
    if len(told["sizes"]) > 2:
        file.with_suffix(".svg").write_text(curve(told), encoding="utf-8")
        found = f"![99th percentile over versions]({file.stem}.svg)\n\n{found}"
    text = file.read_text(encoding="utf-8")
    file.write_text(_PLACE.sub(lambda marks: f"{marks[1]}{found}\n{marks[2]}", text), encoding="utf-8")


def curve(told: dict[str, Any]) -> str:
    """The 99th percentiles as SVG: points that were measured, and dashed what the fit says beyond them."""
    last = told["sizes"][-1]["versions"]
    first, end = told["sizes"][0]["versions"], BEYOND[-1]
    grown = {name: _grown(told, name) for name in SHOWN}
    measured_ = [taken for name in SHOWN for _, taken in _points(told, name, "p99")]
    highest = max(60.0, *measured_, *(found(end)[1] for found in grown.values() if found))

    def x(versions: float) -> float:
        share = (math.log10(versions) - math.log10(first)) / (math.log10(end) - math.log10(first))
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y(taken: float) -> float:
        return _HEIGHT - _BOTTOM - taken / highest * (_HEIGHT - _BOTTOM - _TOP)

    box = f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" font-size="12" fill="#777"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {box}>', *_axes(first, end, highest, x, y)]
    ends: list[tuple[float, str, str]] = []
    for (name, called), colour in zip(SHOWN.items(), _COLOURS, strict=True):
        points = _points(told, name, "p99")
        fitted = grown[name]
        measured = " ".join(f"{x(n):.1f},{y(taken):.1f}" for n, taken in points)
        parts.append(f'<polyline points="{measured}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if fitted is not None:
            steps = [last * (end / last) ** (step / 20) for step in range(21)]
            beyond = " ".join(f"{x(n):.1f},{y(fitted(n)[1]):.1f}" for n in steps)
            dashed = f'stroke="{colour}" stroke-width="1.5" stroke-dasharray="5 4"'
            parts.append(f'<polyline points="{beyond}" fill="none" {dashed}/>')
        parts += [
            f'<circle cx="{x(n):.1f}" cy="{y(taken):.1f}" r="3" fill="{colour}"/>' for n, taken in points
        ]
        ends.append((y(fitted(end)[1] if fitted else points[-1][1]), called, colour))
    parts += _names(ends)
    return "\n".join([*parts, "</svg>\n"])


def _axes(first: float, end: float, highest: float, x: Any, y: Any) -> list[str]:
    step = 10 ** math.floor(math.log10(highest / 2))
    parts = []
    for tick in range(int(highest / step) + 1):
        at = y(tick * step)
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_WIDTH - _RIGHT}" stroke="#888" stroke-opacity=".25"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{tick * step:g}</text>')
    powers = [10**power for power in range(round(math.log10(first)), round(math.log10(end)) + 1)]
    below = _HEIGHT - _BOTTOM + 18
    parts += [f'<text x="{x(n):.1f}" y="{below}" text-anchor="middle">{n:,}</text>' for n in powers]
    parts.append(f'<path d="M{_LEFT} {y(50):.1f}H{_WIDTH - _RIGHT}" stroke="#d00" stroke-dasharray="2 3"/>')
    parts.append(
        f'<text x="{_LEFT}" y="{_HEIGHT - 4}">versions; dashed: not measured, as the medians grow</text>'
    )
    parts.append(f'<text x="{_LEFT + 4}" y="{_TOP - 6}">99th percentile, ms</text>')
    return parts


def _names(ends: list[tuple[float, str, str]]) -> list[str]:
    """Beside the ends of the curves, none over another."""
    parts, free = [], float(_HEIGHT - _BOTTOM + 5)
    for at, called, colour in sorted(ends, reverse=True):
        free = min(at + 4, free)
        parts.append(
            f'<text x="{_WIDTH - _RIGHT + 6}" y="{free:.1f}" fill="{colour}">{escape(called)}</text>'
        )
        free -= 14
    return parts


def _points(told: dict[str, Any], name: str, which: str) -> list[tuple[float, float]]:
    return [
        (size["versions"], one[which])
        for size in told["sizes"]
        for one in size["timed"]
        if one["name"] == name
    ]


def _grown(told: dict[str, Any], name: str) -> Callable[[float], tuple[float, float]] | None:
    """From a number of versions to median and 99th percentile: both grow from what was measured last as the curve
    does that fits the medians. None: nothing can be said.
    """
    points = _points(told, name, "p50")
    fitted = proportional(points) if name in WHOLE else logarithm(points)
    if fitted is None or name in WHOLE_AT_TIMES:
        return None
    last, p50 = points[-1]
    p99 = _points(told, name, "p99")[-1][1]

    def at(versions: float) -> tuple[float, float]:
        growth = fitted.at(versions) / fitted.at(last)
        return p50 * growth, p99 * growth

    return at


def _beyond(told: dict[str, Any], name: str, versions: float) -> str:
    found = _grown(told, name)
    return "*–*" if found is None else "*{:.0f} / {:.0f}*".format(*found(versions))
