"""What everyday commands import of the store costs next to nothing."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("numpy", "zstandard", "cryptography", "ml_dtypes", "platformdirs")


def test_importing_the_store_loads_nothing_heavy() -> None:
    code = (
        "import sys, lepton_ai.store.store, lepton_ai.store.blobs.local, lepton_ai.store.blobs.memory; "
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
