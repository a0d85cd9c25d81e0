"""``python -m lepton_ai``: the same as ``lepton``, where that is not on the path."""

from __future__ import annotations

import sys

from lepton_ai.cli import main

if __name__ == "__main__":
    sys.exit(main())
