"""What the codecs make of every element type, with the compiled kernel and without: sizes and speeds, on one thread.

    python benchmarks/codecs.py [--pair OLD.safetensors NEW.safetensors] [--megabytes 24] [--runs 3] [--json FILE]

The weights are really trained: without ``--pair``, a small transformer on the source text of Python's library, and 40
steps of fine-tuning between the old and the new ones. Prints the tables of docs/decisions/0008-tiles.md.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np
import torch

from lepton_ai.store.codecs import decode, native
from lepton_ai.store.codecs.choice import choose, full
from lepton_ai.store.codecs.elements import ELEMENTS

BLOCK = 1 << 20
Pair = tuple[np.ndarray, np.ndarray]


class Series(NamedTuple):
    """Old and new numbers of one type; ``origin`` says whether they are trained."""

    dtype: str
    origin: str
    old: bytes
    new: bytes


class Result(NamedTuple):
    """Raw bytes for each stored one, MB/s in and out, blocks by codec."""

    ratio: float
    speed_in: float
    speed_out: float
    codecs: dict[str, int]


def transformer() -> torch.nn.Module:
    torch.manual_seed(1)
    layer = torch.nn.TransformerEncoderLayer(384, 6, 1536, 0.0, batch_first=True)
    return torch.nn.Sequential(
        torch.nn.Embedding(256, 384), torch.nn.TransformerEncoder(layer, 3), torch.nn.Linear(384, 256)
    )


def train(model: torch.nn.Module, steps: int, rate: float, text: torch.Tensor) -> np.ndarray:
    """Predict the next byte; all weights afterwards, one behind the other."""
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(96)
    for _ in range(steps):
        places = torch.randint(len(text) - 97, (8,))
        batch = torch.stack([text[p : p + 97] for p in places.tolist()]).long()
        hidden = model[1](model[0](batch[:, :-1]), mask=mask.to(model[0].weight.dtype))
        loss = torch.nn.functional.cross_entropy(model[2](hidden).flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return np.concatenate([p.detach().numpy().ravel() for p in model.parameters()])


def trained() -> tuple[Pair, Pair]:
    """Old and new weights as float32, and as float64."""
    sources = sorted(Path(os.__file__).parent.glob("*.py"))
    text = torch.frombuffer(bytearray(b"".join(path.read_bytes() for path in sources)), dtype=torch.uint8)
    model = transformer()
    train(model, 150, 3e-4, text)
    single = train(model, 40, 2e-5, text), train(model, 40, 2e-5, text)
    model.double()
    double = train(model, 20, 2e-5, text), train(model, 20, 2e-5, text)
    return single, double


def read_pair(paths: list[Path], size: int) -> Pair:
    """The same tensors of two files as float32: about ``size`` bytes, blocks from all over the files."""
    from safetensors.torch import load_file

    old, new = map(load_file, paths)
    names = [name for name in old if old[name].is_floating_point() and old[name].shape == new[name].shape]
    both = [np.concatenate([t[name].float().numpy().ravel() for name in names]) for t in (old, new)]
    numbers = BLOCK // 4
    step = max(1, round(both[0].nbytes / size))
    starts = range(0, len(both[0]), step * numbers)
    picked = [np.concatenate([values[start : start + numbers] for start in starts]) for values in both]
    return picked[0], picked[1]


def all_series(single: Pair, double: Pair) -> Iterator[Series]:
    """The element types, from weights where that makes sense."""
    yield _series("float64", "trained", double)
    yield _series("float32", "trained", single)
    for dtype in ("bfloat16", "float16", "float8_e4m3fn", "float8_e5m2"):
        kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
        yield _series(dtype, "trained, rounded", (single[0].astype(kind), single[1].astype(kind)))
    half = single[0].astype(ml_dtypes.bfloat16).view(np.uint16)
    moved, rng = half.copy(), np.random.default_rng(0)
    moved[rng.choice(len(half), len(half) // 100, replace=False)] += np.uint16(1)
    yield _series("bfloat16", "trained, 1 % moved by a unit", (half, moved))
    scale = 3 * single[0].std()
    for dtype, top in (("int8", 127), ("int16", 32767)):
        whole = [np.clip(np.rint(s / scale * top), -top, top).astype(dtype) for s in single]
        yield _series(dtype, "trained, quantised", (whole[0], whole[1]))
    nibbles = [(np.clip(np.rint(s / scale * 7), -7, 7).astype(np.int8) & 15).astype(np.uint8) for s in single]
    packed = [n[: len(n) // 2 * 2 : 2] | n[1 : len(n) // 2 * 2 : 2] << 4 for n in nibbles]
    yield _series("uint8", "trained, two int4 in a byte", (packed[0], packed[1]))
    for dtype in ("int32", "int64"):
        counts = rng.lognormal(6, 2, len(single[0]) // 2).astype(dtype)
        yield _series(
            dtype, "synthetic: counters", (counts, counts + rng.poisson(counts / 100).astype(dtype))
        )
    masks = [np.abs(s) > np.median(np.abs(single[0])) for s in single]
    yield _series("bool", "trained: mask of the greater half", (masks[0], masks[1]))


def _series(dtype: str, origin: str, pair: Pair) -> Series:
    return Series(dtype, origin, pair[0].tobytes(), pair[1].tobytes())


def measure(series: Series, *, based: bool, runs: int) -> Result:
    """Code and decode all blocks, ``runs`` times."""
    element = ELEMENTS[series.dtype]
    places = range(0, len(series.new), BLOCK)
    blocks = [(series.new[p : p + BLOCK], series.old[p : p + BLOCK] if based else None) for p in places]
    times: list[tuple[float, float]] = []
    for _ in range(runs):
        begun = time.perf_counter()
        coded = [choose(new, element, old) if based else full(new, element) for new, old in blocks]
        between = time.perf_counter()
        for (new, old), form in zip(blocks, coded, strict=True):
            base = old if form.edge else None
            plain = decode(form.codec.number, form.codec.version, form.data, element, base, len(new))
            if plain != new:
                raise AssertionError(series.dtype)
        times.append((between - begun, time.perf_counter() - between))
    size = len(series.new)
    stored = sum(len(form.data) for form in coded)
    speeds = [size / 1e6 / statistics.median(column) for column in zip(*times, strict=True)]
    return Result(size / stored, speeds[0], speeds[1], dict(Counter(form.codec.name for form in coded)))


HOW = {"kernel": "", "without AVX-512": "wide", "fallback": "1"}


def switch(how: str = "kernel") -> None:
    """With the kernel, with its loops for every processor, or as if there were none."""
    os.environ[native.SWITCH] = HOW[how]
    native.kernel.cache_clear()


def cells(result: Result) -> str:
    codec = max(result.codecs, key=lambda name: result.codecs[name])
    return f" {codec} | {result.ratio:.2f} | {speeds(result)} |"


def speeds(result: Result) -> str:
    return f"{result.speed_in:.0f} / {result.speed_out:.0f}"


def table(found: list[Series], *, based: bool, runs: int) -> list[dict[str, object]]:
    """Measure and print one table."""
    print("\nDifferences to a base:\n" if based else "\nWithout a base:\n")
    print("| type | numbers | kernel | × | MB/s in / out | without AVX-512 | fallback | × | MB/s in / out |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    rows: list[dict[str, object]] = []
    for series in found:
        if not based and "1 %" in series.origin:
            continue
        row: dict[str, object] = {"dtype": series.dtype, "origin": series.origin, "based": based}
        line = f"| {series.dtype} | {series.origin} |"
        for how in HOW:
            switch(how)
            result = measure(series, based=based, runs=runs)
            row[how] = result._asdict()
            line += f" {speeds(result)} |" if how == "without AVX-512" else cells(result)
        print(line, flush=True)
        rows.append(row)
    switch()
    return rows


def slowly(series: Series) -> float:
    """MB/s at which the fallback reads what the kernel wrote."""
    element, new, old = ELEMENTS[series.dtype], series.new[:BLOCK], series.old[:BLOCK]
    switch()
    form = choose(new, element, old)
    switch("fallback")
    begun = time.perf_counter()
    decode(form.codec.number, form.codec.version, form.data, element, old if form.edge else None, len(new))
    taken = time.perf_counter() - begun
    switch()
    return len(new) / 1e6 / taken


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pair", nargs=2, type=Path, help="two trained files, the older one first")
    parser.add_argument("--megabytes", type=int, default=24, help="of float32 from the files (24)")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if native.kernel() is None:
        print("There is no compiled kernel in this installation: there is nothing to compare.")
        return 1
    torch.set_num_threads(2)
    single, double = trained()
    if options.pair:
        single = read_pair(options.pair, options.megabytes << 20)
    found = list(all_series(single, double))
    rows = [row for based in (False, True) for row in table(found, based=based, runs=options.runs)]
    print(f"\nThe fallback reads what the kernel wrote at {slowly(found[1]):.0f} MB/s (float32 difference).")
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
