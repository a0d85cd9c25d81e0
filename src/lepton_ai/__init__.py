"""Lepton AI: version control, deployment and watching of AI models."""

from lepton_ai._version import __version__

__all__ = ["__version__"]
