"""The pages of the documentation and the code blocks in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
LANGUAGES = {"python", "console", "text", "json", "toml", "yaml", "sql"}
"""``python`` and ``console`` run, ``json`` and ``toml`` are parsed, the others are for reading."""


@dataclass(frozen=True)
class Block:
    """A fenced block; ``line`` is that of its first line of code, counted from 1."""

    language: str
    line: int
    code: str


def name(page: Path) -> str:
    """The page's path in the checkout."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """All fenced blocks, in order; a fence that is never closed is an error."""
    found: list[Block] = []
    opened: tuple[str, str, int] | None = None
    code: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = re.match(r"\s*(`{3,}|~{3,})\s*([\w-]*)", line)
        if opened is None:
            if fence:
                opened, code = (fence[1], fence[2], number + 1), []
        elif fence and fence[1] == opened[0] and not fence[2]:
            found.append(Block(opened[1], opened[2], "\n".join(code)))
            opened = None
        else:
            code.append(line)
    if opened is not None:
        raise AssertionError(f"{name(page)}:{opened[2]}: a block that is never closed")
    return found
