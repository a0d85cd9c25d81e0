"""The command line: ``lepton``. A file a command group; nothing of it is imported before its command runs."""

import sys
from importlib import import_module

from lepton_ai.cli.heap import collect_seldom

__all__ = ["main"]

_SAVES = {"save", "update"}


def main() -> int:
    """Run the program with its command line; the exit code."""
    collect_seldom()  # before the imports: they make more objects than most commands
    if _SAVES & set(sys.argv[1:]) and "--read-all" not in sys.argv:  # which believes nothing hashed before
        import_module("lepton_ai.history.headstart").begin(sys.argv[2:])
    code: int = import_module("lepton_ai.cli.app").main()
    return code
