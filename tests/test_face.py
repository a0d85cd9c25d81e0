"""The lazy face of the package: what it exports, and that importing it costs nothing."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.metadata import entry_points

import pytest

import lepton_ai

EXPORTS = [
    "AlreadyExists", "Ambiguous", "Branch", "Busy", "ConflictError", "Damaged", "Dataset", "Diverged", "Draft",
    "InUse", "InfrastructureError", "IntegrityError", "InvalidName", "KeyMissing", "LeptonError", "LogLine",
    "LostRace", "MissingExtra", "ModelRepository", "NoSpace", "NotFound", "StorageFailed", "TensorInfo", "TooNew",
    "Unsupported", "Untrusted", "UsageError", "Version", "VersionInfo", "WouldOverwrite", "__version__",
    "create_version", "default_repository", "list_versions", "Forbidden", "NotAllowed", "TooManyRequests",
    "Unauthenticated",
]  # fmt: skip
"""Append-only: taking a name away breaks somebody's program."""


def _run(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_exports_are_pinned() -> None:
    assert sorted(lepton_ai.__all__) == sorted(EXPORTS)
    assert set(EXPORTS) <= set(dir(lepton_ai))


@pytest.mark.parametrize("name", EXPORTS)
def test_every_export_is_there_and_documented(name: str) -> None:
    value = getattr(lepton_ai, name)
    assert isinstance(value, str) or value.__doc__


def test_a_name_that_is_not_exported_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = lepton_ai.no_such_thing


def test_star_import_gives_everything() -> None:
    space: dict[str, object] = {}
    exec("from lepton_ai import *", space)
    assert set(EXPORTS) <= set(space)


def test_importing_the_package_loads_nothing_heavy() -> None:
    loaded = _run("import sys, lepton_ai; print(*sys.modules)").split()
    heavy = {
        "numpy",
        "torch",
        "sqlalchemy",
        "msgspec",
        "typer",
        "rich",
        "sqlite3",
        "cryptography",
        "pydantic",
    }
    assert not heavy & set(loaded)
    assert sum(name.startswith("lepton_ai") for name in loaded) <= 2


def test_the_repository_comes_without_numpy_or_a_framework() -> None:
    loaded = _run("import sys; from lepton_ai import ModelRepository; print(*sys.modules)").split()
    assert not {"numpy", "torch", "keras", "tensorflow", "sklearn", "sqlalchemy", "typer", "rich"} & set(
        loaded
    )


@pytest.mark.parametrize(
    "group", ["lepton_ai.formats", "lepton_ai.frameworks", "lepton_ai.merges", "console_scripts"]
)
def test_entry_points_resolve(group: str) -> None:
    ours = [entry for entry in entry_points(group=group) if entry.value.startswith("lepton_ai")]
    assert ours
    for entry in ours:
        assert entry.load() is not None, entry


def test_errors_by_name_are_the_tree_of_the_errors_module() -> None:
    module = import_module("lepton_ai.errors")
    tree = {n for n, v in vars(module).items() if isinstance(v, type) and issubclass(v, module.LeptonError)}
    assert tree <= set(EXPORTS)
