"""``lepton tensors history``: one parameter through time, as a table and a plot."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from pathlib import Path

from lepton_ai.cli import written
from lepton_ai.cli.output import Column, coloured, note, number, pairs, print_json, print_table, say
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError

COLUMNS = (
    Column("Version", style="bold"),
    Column("Value", right=True),
    Column("Change", right=True),
    Column("Update", wrap=True),
    Column("Message", wrap=True),
)
HEIGHT, WIDEST = 10, 72
DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
"""The dots of a Braille letter, by row and column."""


def history(
    name: str,
    branch: str | None,
    element: str | None,
    stat: str | None,
    target: Path | None,
    repo: str | None,
    as_json: bool,
) -> None:
    """Print a tensor's element or statistic version by version."""
    if element is not None and stat is not None:
        raise UsageError("--element and --stat exclude each other", hint="give one of them")
    place = None if element is None else _place(element)
    with opened(repo, as_json=as_json) as repository:
        found = repository.tensor_history(name, branch, element=place, stat=stat or "norm")
    if target is not None:
        written.write(target, lambda file: file.write(found.page().encode()))
        note(f"the page is in {target}")
    if as_json:
        print_json(found)
        return
    say(f"{found.what} of {found.name} on {found.branch}")
    for line in plot([p.version for p in found.points], [p.value for p in found.points]):
        say(line)
    say("")
    print_table(
        COLUMNS,
        (
            (
                point.version,
                "" if point.value is None else number(point.value),
                "" if point.delta is None else f"{point.delta:+.3g}",
                pairs(point.update),
                point.message or point.note or ("" if point.operation == "save" else point.operation),
            )
            for point in found.points
        ),
    )


def plot(labels: Sequence[str], values: Sequence[float | None], width: int | None = None) -> list[str]:
    """Lines of text that draw the values: nothing where there are fewer than two.

    >>> plot(["v1", "v2", "v3"], [0.0, 1.0, None])[0]
    '1 ┤'
    """
    known = [v for v in values if v is not None and math.isfinite(v)]
    if len(known) < 2:
        return []
    low, high = min(known), max(known)
    if low == high:
        low, high = low - (abs(low) or 1) / 2, high + (abs(high) or 1) / 2
    ticks = {row: number(high - (high - low) * row / (HEIGHT - 1)) for row in (0, HEIGHT // 2, HEIGHT - 1)}
    margin = max(map(len, ticks.values()))
    columns = min(width or _terminal(), WIDEST) - margin - 3
    dots = _dots(values, low, high, columns)
    lines = [
        f"{ticks.get(row, ''):>{margin}} {'┤' if row in ticks else '│'}{''.join(map(chr, line))}".rstrip("⠀ ")
        for row, line in enumerate(dots)
    ]
    gap = columns - len(labels[0]) - len(labels[-1])
    return [*lines, " " * (margin + 2) + labels[0] + " " * max(1, gap) + labels[-1]]


def _dots(values: Sequence[float | None], low: float, high: float, columns: int) -> list[list[int]]:
    """Braille letters in which a line leads from value to value."""
    grid = [[0x2800] * columns for _ in range(HEIGHT)]
    across, down = 2 * columns - 1, 4 * HEIGHT - 1

    def dot(x: int, y: int) -> None:
        grid[y // 4][x // 2] |= DOTS[y % 4][x % 2]

    last: tuple[int, int] | None = None
    for place, value in enumerate(values):
        if value is None or not math.isfinite(value):
            last = None
            continue
        x = round(across * place / max(len(values) - 1, 1))
        y = round(down * (high - value) / (high - low))
        from_x, from_y = last or (x, y)
        steps = max(abs(x - from_x), abs(y - from_y), 1)
        for step in range(steps + 1):
            dot(round(from_x + (x - from_x) * step / steps), round(from_y + (y - from_y) * step / steps))
        last = x, y
    return grid


def _place(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.strip("[]() ").split(",") if part.strip())
    except ValueError:
        raise UsageError(f"--element {text!r} is no place", hint="write the indices as 3,7") from None


def _terminal() -> int:
    if not coloured():
        return WIDEST
    try:
        return os.get_terminal_size().columns
    except OSError:
        return WIDEST
