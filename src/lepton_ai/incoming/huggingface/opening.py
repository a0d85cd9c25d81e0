"""Which of both a folder is."""

from __future__ import annotations

from pathlib import Path

from lepton_ai.errors import UsageError
from lepton_ai.incoming.contract import Source
from lepton_ai.incoming.huggingface.cache import PREFIX, HubCache, is_model_cache
from lepton_ai.incoming.huggingface.folder import ModelFolder


def is_cache(folder: Path) -> bool:
    """Whether it is the cache of one model, or of the hub with models in it."""
    if not folder.is_dir():
        return False
    return is_model_cache(folder) or any(is_model_cache(child) for child in folder.glob(PREFIX + "*"))


def open_huggingface(folder: Path) -> Source:
    """The cache of a model, or a folder with one.

    Raises:
        UsageError: it is the cache of several models, or a folder without files.
    """
    if not folder.is_dir():
        raise UsageError(
            f"{folder} is no folder", hint="name the folder of a model, or models--OWNER--NAME of a cache"
        )
    if is_model_cache(folder):
        return HubCache(folder)
    models = sorted(child.name for child in folder.glob(PREFIX + "*") if is_model_cache(child))
    if len(models) > 1:
        raise UsageError(
            f"{folder} is the cache of {len(models)} models", hint="name one: " + ", ".join(models[:5])
        )
    return HubCache(folder / models[0]) if models else ModelFolder(folder)
