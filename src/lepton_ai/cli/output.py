"""What commands print: JSON for machines, aligned columns for pipes, the same in colour for terminals."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple
from unicodedata import combining, east_asian_width

import msgspec

from lepton_ai.types import without_nan

if TYPE_CHECKING:
    from rich.console import Console

ID_DIGITS = 12
NARROWEST = 16
"""Letters that a column keeps when it has to wrap."""
STYLES = {"Active": "green", "Deleted": "yellow", "Purged": "bright_black"}


class Column(NamedTuple):
    """A column of a table; ``right`` aligns numbers, ``style`` is Rich's, for terminals."""

    title: str
    right: bool = False
    style: str = ""
    wrap: bool = False


def print_json(value: object) -> None:
    """Print one JSON document on stdout. NaN and infinities are the words "NaN", "Infinity", "-Infinity"."""
    text = msgspec.json.format(msgspec.json.encode(without_nan(msgspec.to_builtins(value))), indent=2)
    sys.stdout.write(text.decode() + "\n")


def say(text: str) -> None:
    """Print one line for people on stdout."""
    sys.stdout.write(text + "\n")


def note(text: str) -> None:
    """Say something beside the result: on stderr, so that pipes stay clean."""
    sys.stderr.write(f"lepton: {printable(text)}\n")


def warn(text: str) -> None:
    """Print a line that must not be overlooked, on stdout."""
    line = printable(f"! {text}")
    say(f"\x1b[1;31m{line}\x1b[0m" if coloured() else line)


def print_table(
    columns: Sequence[Column], rows: Iterable[Sequence[str]], *, bold: Collection[int] = ()
) -> None:
    """Print rows of texts below their titles; a pipe gets every row on one line, never cut.

    ``bold``: the numbers of rows that stand out on a terminal.
    """
    cells = [[printable(cell) for cell in row] for row in rows]
    if (console := colours()) is not None:
        _print_with_rich(console, columns, cells, bold)
        return
    lines = [[column.title for column in columns], *cells]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        padded = []
        for cell, width, column in zip(line, widths, columns, strict=True):
            space = " " * (width - _width(cell))
            padded.append(space + cell if column.right else cell + space)
        say("  ".join(padded).rstrip())


def coloured() -> bool:
    """Whether stdout is a terminal, and nobody asked for plain text (https://no-color.org)."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def colours() -> Console | None:
    """Rich's console when stdout is a terminal; None when it is not."""
    return _console() if sys.stdout.isatty() else None


def print_facts(facts: Iterable[tuple[str, str]]) -> None:
    """Print names and values below each other, the values aligned; empty ones are left out."""
    kept = [(printable(name), printable(value)) for name, value in facts if value]
    width = max((len(name) for name, _ in kept), default=0)
    for name, value in kept:
        say(f"{name + ':':<{width + 1}}  {value}")


def printable(text: str) -> str:
    """The text on one line, without control characters: what others wrote must not command the terminal."""
    if text.isprintable():
        return text
    return "".join(_shown(letter) for letter in text)


def human_size(size: float) -> str:
    """Bytes for people: 812 B, 3.4 KiB, 1.2 GiB."""
    amount = float(size)
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(amount) < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{int(amount)} B" if unit == "B" else f"{amount:.1f} {unit}"


def local_time(stamp: str) -> str:
    """A time stamp (RFC 3339) in local time, to the second."""
    return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def number(value: float) -> str:
    """A number for people: at most six significant digits."""
    return f"{value:.6g}"


def pairs(values: dict[str, Any]) -> str:
    """Names and values on one line: ``accuracy=0.97 loss=0.1``."""
    return " ".join(f"{key}={number(v) if isinstance(v, float) else v}" for key, v in values.items())


def plural(count: int, what: str) -> str:
    """``1 version``, ``2 versions``."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


def _print_with_rich(
    console: Console, columns: Sequence[Column], rows: list[list[str]], bold: Collection[int]
) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(
            column.title,
            justify="right" if column.right else "left",
            style=column.style,
            no_wrap=not column.wrap,
            overflow="fold",
        )
    for number, row in enumerate(rows):
        texts = (Text(cell, style=STYLES.get(cell, "")) for cell in row)
        table.add_row(*texts, style="bold" if number in bold else None)
    console.width = max(console.width, _least_width(columns, rows))
    console.print(table)


def _least_width(columns: Sequence[Column], rows: list[list[str]]) -> int:
    """How wide a table must be for nothing to be cut; where the terminal is narrower, its lines run on."""
    longest = [
        max(_width(cell) for cell in cells) for cells in zip([c.title for c in columns], *rows, strict=True)
    ]
    kept = [min(width, NARROWEST) if c.wrap else width for c, width in zip(columns, longest, strict=True)]
    return sum(kept) + 2 * len(columns)


def _console() -> Console:
    from rich.console import Console

    return Console(highlight=False, markup=False, color_system="auto" if coloured() else None)


def _width(text: str) -> int:
    """Places that a text takes on a screen: Chinese letters take two, accents none."""
    if text.isascii():
        return len(text)
    wide = sum(east_asian_width(letter) in "WF" for letter in text)
    return len(text) + wide - sum(bool(combining(letter)) for letter in text)


def _shown(letter: str) -> str:
    if letter.isprintable():
        return letter
    return " " if letter in "\n\t\u00a0\u3000" else letter.encode("unicode_escape").decode()
