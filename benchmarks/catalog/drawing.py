"""The figures as a table of Markdown, and into the documentation."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

_PLACE = re.compile(r"(<!-- figures -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def table(told: dict[str, Any]) -> str:
    """A row for every question; median and 99th percentile in milliseconds for every size."""
    sizes = told["sizes"]
    head = "| p50 / p99, ms | " + " | ".join(f"{size['versions']:,} versions" for size in sizes) + " |"
    lines = [f"{told['machine']}; {told['at']}.", "", head, "| --- |" + " --- |" * len(sizes)]
    for row in zip(*(size["timed"] for size in sizes), strict=True):
        cells = " | ".join(f"{one['p50']:.1f} / {one['p99']:.1f}" for one in row)
        lines.append(f"| {row[0]['name']} | {cells} |")
    for name, shown in (("rows in the database", "rows"), ("GB in the database", "bytes")):
        values = [size[shown] / 1e9 if shown == "bytes" else size[shown] for size in sizes]
        lines.append(
            f"| {name} | " + " | ".join(f"{v:,.2f}" if shown == "bytes" else f"{v:,}" for v in values) + " |"
        )
    return "\n".join(lines)


def put(told: dict[str, Any], page: Path) -> None:
    """Replace the figures between the two marks of ``page``."""
    text = page.read_text(encoding="utf-8")
    page.write_text(_PLACE.sub(lambda found: f"{found[1]}{table(told)}\n{found[2]}", text), encoding="utf-8")
