"""What a model is worth: ``python evaluate.py FOLDER`` prints its accuracy as JSON, as ``--evaluate`` wants it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from digits import accuracy
from safetensors.torch import load_file

if __name__ == "__main__":
    print(json.dumps({"accuracy": accuracy(load_file(Path(sys.argv[1]) / "digits.safetensors"))}))
