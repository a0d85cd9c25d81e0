"""How long `lepton diff` takes for two versions of 1 GB that share all but two layers, beside a bare start.

    python benchmarks/diff/two_layers.py [--model FILE.safetensors] [--layers blocks.7.,blocks.8.] [--runs 5]

Without a model one is made: bfloat16, normally distributed, 1 GB in 24 layers. In a second version the two layers are
moved by 1 %. Target: at most 1 second more than `lepton --version`. Exit code 1 when it is more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

MOST = 1.0
LEPTON = str(Path(sys.executable).with_name("lepton"))
LAYERS, WIDTH = 24, 1280


def make_model(place: Path, size: int) -> None:
    """A file of `size` bytes: embeddings, and in each layer four matrices and a bias."""
    rng = np.random.default_rng(0)
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(LAYERS):
        shapes |= {
            f"blocks.{layer}.{name}.weight": (WIDTH, WIDTH * k)
            for name, k in (("qkv", 3), ("out", 1), ("up", 4), ("down", 4))
        }
        shapes[f"blocks.{layer}.norm.bias"] = (WIDTH,)
    rest = size - 2 * sum(int(np.prod(shape)) for shape in shapes.values())
    shapes["tokens.weight"] = (max(rest, 0) // (2 * WIDTH), WIDTH)
    tensors = {}
    for name, shape in shapes.items():
        values = rng.standard_normal(shape, dtype=np.float32) * np.float32(0.02)
        tensors[name] = values.astype(ml_dtypes.bfloat16)
    save_file(tensors, place)


def move(place: Path, layers: tuple[str, ...]) -> int:
    """Move the tensors of some layers by 1 %; how many bytes they are."""
    rng, total = np.random.default_rng(1), 0
    with place.open("r+b") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
        for name, told in header.items():
            if name.startswith(layers):
                start, end = told["data_offsets"]
                file.seek(8 + length + start)
                values = np.frombuffer(file.read(end - start), ml_dtypes.bfloat16).astype(np.float32)
                values *= 1 + np.float32(0.01) * rng.standard_normal(values.size, dtype=np.float32)
                file.seek(8 + length + start)
                file.write(values.astype(ml_dtypes.bfloat16).tobytes())
                total += end - start
    return total


def median(command: list[str], folder: Path, runs: int) -> tuple[float, float]:
    """Seconds of the whole process, on the clock and of the processors, the first run aside."""
    times, busy = [], []
    for _ in range(runs + 1):
        before, start = os.times(), time.perf_counter()
        subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=False)
        times.append(time.perf_counter() - start)
        after = os.times()
        busy.append(sum(after[2:4]) - sum(before[2:4]))
    return statistics.median(times[1:]), statistics.median(busy[1:])


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path)
    parser.add_argument("--size", type=int, default=1_000_000_000)
    parser.add_argument("--layers", default="blocks.7.,blocks.8.")
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ |= {"HOME": name, "XDG_CONFIG_HOME": name, "LEPTON_AI_NO_PROVENANCE": "1"}
        file = folder / "model.safetensors"
        if options.model:
            shutil.copy(options.model, file)
        else:
            make_model(file, options.size)
        subprocess.run([LEPTON, "save", file.name], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        moved = move(file, tuple(options.layers.split(",")))
        subprocess.run([LEPTON, "save", file.name], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        print(f"model {file.stat().st_size / 1e6:.0f} MB, of which {moved / 1e6:.0f} MB moved")
        commands = (["--version"], ["diff", "v2", "v2"], ["diff", "v1", "v2"])
        found = [median([LEPTON, *command], folder, options.runs) for command in commands]
    for command, (clock, busy) in zip(commands, found, strict=True):
        print(f"lepton {' '.join(command):<12} {clock:6.2f} s, processors {busy:5.2f} s")
    more = found[-1][0] - found[0][0]
    print(f"a diff takes {more:.2f} s more than the bare start (target {MOST:.0f} s)")
    return 0 if more <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
