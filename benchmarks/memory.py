"""Resident memory of what is done with a large safetensors file: it must not grow with the model.

    python benchmarks/memory.py [--gib 2] [--json FILE]

Each operation runs as a process of its own; its largest resident set is what the operating system counted. The
target is under 600 MB for 2 GB; loading the model may take its size and 400 MB, which PyTorch itself nearly needs.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

TARGET_MB = 600
STEPS = {
    "save": "repo.save_files({file!r})",
    "save a fine-tune": "repo.save_files({tuned!r})",
    "checkout": "repo.checkout('v2', {out!r})",
    "one tensor": "repo.version('v2').tensor('layer.3.weight')",
    "verify": "assert repo.verify().clean",
    "stats": "repo.stats()",
    "repack, a plan": "repo.repack(max_chain=1, dry_run=True)",
    "repack": "repo.repack(max_chain=1)",
    "repack back": "repo.repack()",
    "gc": "repo.gc(grace=0)",
    "load_model": "repo.load_model('v2')",
}
LOADING_MB = 400

PEAK = """
import resource, sys
try:
    peak = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024
except FileNotFoundError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 << 20)
print(peak)
"""


SIDE = 4096
"""Rows and columns of a layer: 32 MB of bf16."""


def write_layers(path: Path, layers: int, weights: Callable[[int], np.ndarray]) -> None:
    """A safetensors file of bf16 layers, written piece by piece; ``weights`` gives a layer's float32."""
    size = SIDE * SIDE * 2
    header = {
        f"layer.{n}.weight": {
            "dtype": "BF16",
            "shape": [SIDE, SIDE],
            "data_offsets": [n * size, (n + 1) * size],
        }
        for n in range(layers)
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for layer in range(layers):
            file.write((weights(layer).view(np.uint32) >> 16).astype(np.uint16).tobytes())


def write_model(path: Path, gib: float, seed: int, drift: float = 0.0) -> None:
    """A file of about ``gib`` GiB."""

    def weights(layer: int) -> np.ndarray:
        found = np.random.default_rng([seed, layer]).standard_normal((SIDE, SIDE), dtype=np.float32) * 0.02
        if drift:
            moved = np.random.default_rng([seed, layer, 1]).standard_normal((SIDE, SIDE), dtype=np.float32)
            found += moved * drift
        return found

    write_layers(path, max(1, int(gib * (1 << 30)) // (SIDE * SIDE * 2)), weights)


def run(code: str) -> tuple[float, float]:
    """Seconds, and largest resident set (MB) of a Python process, as it reads them itself at its end.

    ``ru_maxrss`` of a child would be at least what this process held when it started the child.
    """
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code + PEAK], stdout=subprocess.PIPE, check=True)
    return time.perf_counter() - started, float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gib", type=float, default=2.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = []
    with tempfile.TemporaryDirectory(prefix="lepton-memory-") as folder:
        root = Path(folder)
        os.environ["XDG_CONFIG_HOME"] = os.environ["HOME"] = str(root / "home")
        names = {"file": str(root / "model.safetensors"), "out": str(root / "out")}
        names["tuned"] = str(root / "tuned" / "model.safetensors")
        write_model(Path(names["file"]), arguments.gib, 1)
        write_model(Path(names["tuned"]), arguments.gib, 1, drift=1e-4)
        opening = f"from lepton_ai.repository import ModelRepository\nrepo = ModelRepository({str(root / 'repo')!r})\n"
        for name, step in STEPS.items():
            seconds, peak = run(opening + step.format(**names))
            rows.append({"operation": name, "seconds": round(seconds, 2), "peak_mb": round(peak, 1)})
            most = TARGET_MB
            if name == "load_model":
                most = LOADING_MB + Path(names["tuned"]).stat().st_size / (1 << 20)
            print(
                f"{name:20} {seconds:8.2f} s {peak:8.1f} MB   {'ok' if peak < most else 'OVER'}", flush=True
            )
        stored = sum(file.stat().st_size for file in (root / "repo" / ".lepton").rglob("*") if file.is_file())
        raw = 2 * Path(names["file"]).stat().st_size
    print(
        f"stored / raw {stored / raw:.3f}   ({platform.machine()}, {os.cpu_count()} processors, {arguments.gib} GiB)"
    )
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"gib": arguments.gib, "stored": stored, "raw": raw, "rows": rows}, indent=1)
        )


if __name__ == "__main__":
    main()
