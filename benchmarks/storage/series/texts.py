"""English text that every Python carries: the documentation strings of its standard library."""

from __future__ import annotations

import ast
import sysconfig
from functools import cache
from pathlib import Path

LONGEST = 400
"""Characters of a sentence that are kept."""


@cache
def sentences() -> tuple[str, ...]:
    """Sentences of the standard library's docstrings, in the order of its files; neighbours belong together."""
    found: list[str] = []
    for place in sorted(Path(sysconfig.get_path("stdlib")).glob("**/*.py")):
        if "site-packages" in place.parts or "test" in place.parts or "idlelib" in place.parts:
            continue
        try:
            tree = ast.parse(place.read_bytes())
        except (SyntaxError, ValueError):  # files that are wrong on purpose
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                text = " ".join((ast.get_docstring(node) or "").split())
                found += [part[:LONGEST] for part in text.split(". ") if len(part) > 20]
    return tuple(found)
