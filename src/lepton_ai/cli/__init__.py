"""The command line: ``lepton``. A file a command group; nothing of it is imported before its command runs."""

from lepton_ai.cli.app import main

__all__ = ["main"]
