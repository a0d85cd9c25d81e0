"""The house rules that a machine can keep."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai import errors

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "lepton_ai").rglob("*.py"))
LONGER = {
    "src/lepton_ai/repository.py": "the journey on one page: a short method for every verb, nothing else",
    "src/lepton_ai/formats/pickles.py": "one machine and its table of opcodes",
    "src/lepton_ai/testing/journeys.py": "one state machine: a short rule for every verb",
    "src/lepton_ai/store/seal/keyring.py": "one object: the keys of a repository from making to rotating",
    "src/lepton_ai/wire.py": "the bodies of the API on one page: no code, only what travels",
}
"""Files over 300 lines, with the reason; none may pass 500."""

KINDS = {
    "AlreadyExists": "already-exists", "Ambiguous": "ambiguous", "Busy": "busy", "ConflictError": "conflict",
    "Damaged": "damaged", "Diverged": "diverged", "InUse": "in-use", "InfrastructureError": "infrastructure",
    "IntegrityError": "integrity", "InvalidName": "invalid-name", "KeyMissing": "key-missing",
    "LeptonError": "error", "LostRace": "lost-race", "MissingExtra": "missing-extra", "NoSpace": "no-space",
    "NotFound": "not-found", "StorageFailed": "storage-failed", "TooNew": "too-new",
    "Unsupported": "unsupported", "Untrusted": "untrusted", "UsageError": "usage",
    "WouldOverwrite": "would-overwrite",
    "NotAllowed": "not-allowed", "Unauthenticated": "unauthenticated", "Forbidden": "forbidden",
    "TooManyRequests": "too-many-requests",
}  # fmt: skip
"""Append-only: programs and people rely on these words."""

PARENTS = {
    "UsageError": "LeptonError", "ConflictError": "LeptonError", "InfrastructureError": "LeptonError",
    "IntegrityError": "LeptonError",
    "InvalidName": "UsageError", "NotFound": "UsageError", "AlreadyExists": "UsageError",
    "Ambiguous": "UsageError", "InUse": "UsageError", "WouldOverwrite": "UsageError", "Untrusted": "UsageError",
    "MissingExtra": "UsageError", "Unsupported": "UsageError", "NotAllowed": "UsageError",
    "Unauthenticated": "NotAllowed", "Forbidden": "NotAllowed", "TooManyRequests": "NotAllowed",
    "LostRace": "ConflictError", "Busy": "ConflictError", "Diverged": "ConflictError",
    "NoSpace": "InfrastructureError", "KeyMissing": "InfrastructureError",
    "StorageFailed": "InfrastructureError",
    "Damaged": "IntegrityError", "TooNew": "IntegrityError",
}  # fmt: skip


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return ["." * node.level + (node.module or "")]
    return []


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_a_source_file_keeps_the_measure(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = text.count("\n")
    assert lines < 500, "is there more than one purpose in it?"
    assert lines <= 300 or _name(path) in LONGER, "over 300 lines: part it, or give the reason in LONGER"
    tree = ast.parse(text)
    long = [
        f"{f.name} ({f.end_lineno - f.lineno + 1})" for f in _functions(tree) if f.end_lineno - f.lineno >= 80
    ]
    assert not long
    own = [
        f"{function.name}: {name}"
        for function in _functions(tree)
        for node in ast.walk(function)
        for name in _imported(node)
        if name.startswith(("lepton_ai", "."))
    ]
    assert not own, "an own-package import inside a function hides who depends on whom"


def test_the_list_of_longer_files_is_not_out_of_date() -> None:
    lengths = {_name(path): path.read_text(encoding="utf-8").count("\n") for path in SOURCES}
    assert [name for name in LONGER if lengths.get(name, 0) <= 300] == []


@pytest.mark.parametrize("path", sorted((ROOT / "tests").rglob("*.py")), ids=_name)
def test_a_test_file_keeps_the_measure(path: Path) -> None:
    assert path.read_text(encoding="utf-8").count("\n") < 500


def test_the_error_tree_is_pinned() -> None:
    tree = {
        n: v for n, v in vars(errors).items() if isinstance(v, type) and issubclass(v, errors.LeptonError)
    }
    assert {name: kind.kind for name, kind in tree.items()} == KINDS
    assert {name: kind.__base__.__name__ for name, kind in tree.items() if name != "LeptonError"} == PARENTS
    assert len(set(KINDS.values())) == len(KINDS)


def test_the_error_tree_is_drawn_in_full() -> None:
    drawing = errors.__doc__ or ""
    assert [name for name in KINDS if name not in drawing] == []


def test_no_room_is_named_for_nothing() -> None:
    vague = {"core", "common", "utils", "util", "helpers", "services", "manager", "managers", "misc"}
    assert [_name(path) for path in SOURCES if vague & {path.stem, *path.parent.parts}] == []
