"""Lepton AI: version control, deployment and watching of AI models.

The names below are found when they are first asked for, so that ``import lepton_ai`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from lepton_ai._version import __version__

if TYPE_CHECKING:
    from lepton_ai.default import create_version, default_repository, list_versions
    from lepton_ai.drafts import Draft
    from lepton_ai.errors import (
        AlreadyExists,
        Ambiguous,
        Busy,
        ConflictError,
        Damaged,
        Diverged,
        Forbidden,
        InfrastructureError,
        IntegrityError,
        InUse,
        InvalidName,
        KeyMissing,
        LeptonError,
        LostRace,
        MissingExtra,
        NoSpace,
        NotAllowed,
        NotFound,
        StorageFailed,
        TooManyRequests,
        TooNew,
        Unauthenticated,
        Unsupported,
        Untrusted,
        UsageError,
        WouldOverwrite,
    )
    from lepton_ai.handles import Branch, Version
    from lepton_ai.repository import ModelRepository
    from lepton_ai.types import Dataset, LogLine, TensorInfo, VersionInfo

__all__ = [
    "AlreadyExists",
    "Ambiguous",
    "Branch",
    "Busy",
    "ConflictError",
    "Damaged",
    "Dataset",
    "Diverged",
    "Draft",
    "Forbidden",
    "InUse",
    "InfrastructureError",
    "IntegrityError",
    "InvalidName",
    "KeyMissing",
    "LeptonError",
    "LogLine",
    "LostRace",
    "MissingExtra",
    "ModelRepository",
    "NoSpace",
    "NotAllowed",
    "NotFound",
    "StorageFailed",
    "TensorInfo",
    "TooManyRequests",
    "TooNew",
    "Unauthenticated",
    "Unsupported",
    "Untrusted",
    "UsageError",
    "Version",
    "VersionInfo",
    "WouldOverwrite",
    "__version__",
    "create_version",
    "default_repository",
    "list_versions",
]

_ELSEWHERE = {
    "Branch": "handles",
    "Dataset": "types",
    "Draft": "drafts",
    "LogLine": "types",
    "ModelRepository": "repository",
    "TensorInfo": "types",
    "Version": "handles",
    "VersionInfo": "types",
    "create_version": "default",
    "default_repository": "default",
    "list_versions": "default",
}


def __getattr__(name: str) -> object:
    """Fetch a public name from its room; all that are not listed there are errors."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_ELSEWHERE.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
