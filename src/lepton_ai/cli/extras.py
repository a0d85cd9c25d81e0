"""Rooms that need an extra: the error says which."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from lepton_ai.errors import MissingExtra


def need(room: str, extra: str) -> Any:
    """The module ``room``, which works when ``lepton-ai[extra]`` is installed.

    Raises:
        MissingExtra: it is not.
    """
    try:
        return import_module(room)
    except ModuleNotFoundError as missing:
        if (missing.name or "").startswith("lepton_ai"):
            raise
        raise MissingExtra(
            f"this needs {missing.name}, which is not installed", hint=f"pip install 'lepton-ai[{extra}]'"
        ) from missing
