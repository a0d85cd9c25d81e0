"""Train the benchmark's series.

    python benchmarks/storage/build.py --seed 1 --out DIR [--only NAME …] [--list]

Each series becomes a folder of v1, v2 … and a ``series.json``. A series that is there is left as it is, so a run that
was stopped goes on with the series that it had not finished. On two cores minilm-fp32 takes 8 minutes, gpt-1gb-bf16 6
(and 5 GB of memory), minilm-bf16 and minilm-2layers 3 to 5, rl-bf16 3, the others a minute or less.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from pathlib import Path

import torch
from series import files
from series.catalogue import SERIES


def is_built(folder: Path, seed: int) -> bool:
    """Whether the series is there; from another seed it is neither taken nor replaced."""
    if not folder.exists():
        return False
    listing = folder / "series.json"
    if listing.exists() and (found := json.loads(listing.read_text())["seed"]) != seed:
        raise SystemExit(f"{folder} was trained from seed {found}: choose another folder, or remove it")
    return True


def build(name: str, root: Path, seed: int) -> None:
    """Train one series, and first the one that it is made from."""
    series = SERIES[name]
    if is_built(root / name, seed):
        print(f"{name}: there already", flush=True)
        return
    if series.needs:
        build(series.needs, root, seed)
    started = time.monotonic()
    part = root / f"{name}.part"
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    listed = []
    for number, weights in enumerate(series.recipe(root, seed), 1):
        file = part / f"v{number}.{series.suffix}"
        files.write(weights, file)
        listed.append({"file": file.name, "parent": series.parent(number)})
        print(f"{name}: v{number} of {series.count}, {time.monotonic() - started:.0f} s", flush=True)
    if len(listed) != series.count:
        raise SystemExit(f"{name}: {len(listed)} versions instead of {series.count}")
    known = {"seed": seed, "torch": torch.__version__, "versions": listed}
    (part / "series.json").write_text(json.dumps(known, indent=1))
    part.rename(root / name)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--only", nargs="+", choices=SERIES, default=list(SERIES), metavar="NAME")
    parser.add_argument("--list", action="store_true", help="name the series and stop")
    options = parser.parse_args()
    if options.list:
        print("\n".join(SERIES))
        return 0
    for name in options.only:
        build(name, options.out, options.seed)
    return 0


if __name__ == "__main__":
    sys.exit(main())
