"""TensorFlow's SavedModel: a folder with a graph and its variables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats.frameworks.contract import Saved, need, untrusted

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "saved_model.pb"
INSTALL = "lepton-ai[tensorflow]"


def save(module: object, path: Path) -> Saved:
    """Write a trackable object as the folder ``path``."""
    need("tensorflow", INSTALL).saved_model.save(module, str(path))
    return Saved((path,), "savedmodel")


def load(folder: Path, path: str, *, trust: bool) -> object:
    """TensorFlow's restored object: its functions and ``signatures``, not the class that was saved.

    Raises:
        Untrusted: without ``trust``.
    """
    if not trust:
        raise untrusted(
            path, "a SavedModel is a program: its graph can read and write files when it is loaded or run"
        )
    restored: object = need("tensorflow", INSTALL).saved_model.load(str((folder / path).parent))
    return restored
