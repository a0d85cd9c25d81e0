"""Live models of the frameworks ⇄ files.

:mod:`~lepton_ai.formats.frameworks.contract` says what a framework's adapter does; there is one module for
each, found through the entry points ``lepton_ai.frameworks``. :mod:`~lepton_ai.formats.frameworks.registry`
is the door. Nothing here imports a framework before a model of it is saved or loaded.
"""

from lepton_ai.formats.frameworks.contract import Found, Framework, Saved
from lepton_ai.formats.frameworks.registry import framework_of, frameworks, load, loader_for, save
from lepton_ai.formats.frameworks.training_history import history_of

__all__ = [
    "Found",
    "Framework",
    "Saved",
    "framework_of",
    "frameworks",
    "history_of",
    "load",
    "loader_for",
    "save",
]
