"""The storage benchmark: every peer keeps and gives back the same series of versions, in one run.

    python benchmarks/storage/run.py [--only SERIES …] [--peers NAME …] [--series DIR] [--passes 3] [--cold]

Each pass gives every peer an empty store, saves v1, v2 … one after the other and restores all of them, newest first;
each save and each restore is a whole process, timed from outside, and every restored file is compared byte for
byte. Before each of them the disk is flushed; the input and the store are in the page cache, or with --cold none of
them is. A peer that is not installed (install-peers.sh) or that fails stands in the table with the reason. Series
that are missing are trained first (build.py). The table comes from the JSON by report.py; --docs writes the page.
"""

from __future__ import annotations

import argparse
import datetime
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import report
from measure import Failed, forget, machine, run
from peers import Peer, all_peers
from peers.peer import program

HERE = Path(__file__).resolve().parent
SHORT = ("minilm-fp32", "minilm-bf16", "minilm-2layers", "gpt-small", "cnn", "rl-bf16", "branches")
FORMATS = ("minilm-pt", "minilm-h5", "minilm-onnx")
LONG = ("minilm-bf16-cast", *FORMATS, "gpt-1gb-bf16")
BUSY = 0.5
"""Load average above which the seconds are worth little."""
GROUPS = {"short": SHORT, "formats": ("minilm-fp32", *FORMATS), "all": SHORT + LONG}


@dataclass(frozen=True)
class Series:
    """Files on disk, with the number of each one's parent."""

    name: str
    files: list[Path]
    parents: list[int]
    seed: int | None


def load_series(folder: Path) -> Series:
    """As build.py wrote it; a folder without ``series.json`` is a line of v1, v2 …"""
    try:
        known = json.loads((folder / "series.json").read_text())
    except FileNotFoundError:
        files = sorted(folder.glob("v*.*"), key=lambda file: int(file.stem[1:]))
        return Series(folder.name, files, list(range(len(files))), None)
    files = [folder / version["file"] for version in known["versions"]]
    return Series(folder.name, files, [version["parent"] for version in known["versions"]], known["seed"])


class Measurement:
    """One peer on one series, over all passes."""

    def __init__(self, peer: Peer, series: Series, work: Path, *, cold: bool) -> None:
        self.peer, self.series, self.work, self.cold = peer, series, work, cold
        self.passes: list[dict[str, Any]] = []
        self.problem = peer.missing()

    def once(self) -> None:
        """One pass; a failure is kept as the peer's problem and ends its part."""
        folder = Path(tempfile.mkdtemp(dir=self.work))
        try:
            (folder / "work").mkdir()
            (folder / "home").mkdir()
            run(self.peer.setup(folder), folder / "home")
            self.passes.append({"saves": self._saves(folder), "restores": self._restores(folder)})
        except Failed as failure:
            self.problem = f"failed: {failure}"
        finally:
            shutil.rmtree(folder)

    def _saves(self, folder: Path) -> list[dict[str, Any]]:
        rows = []
        for number, (source, parent) in enumerate(
            zip(self.series.files, self.series.parents, strict=True), 1
        ):
            file = self._file(folder)
            file.unlink(missing_ok=True)
            shutil.copyfile(source, file)
            self._settle(folder)
            done = run(self.peer.save(file, number, parent), folder / "home")
            rows.append(_row(number, done) | {"stored": self.peer.stored()})
        return rows

    def _restores(self, folder: Path) -> list[dict[str, Any]]:
        rows = []
        for number in range(len(self.series.files), 0, -1):
            file = self._file(folder)
            file.unlink(missing_ok=True)
            self._settle(folder)
            done = run(self.peer.restore(number, file.parent), folder / "home")
            if not file.is_file() or not filecmp.cmp(file, self.series.files[number - 1], shallow=False):
                raise Failed(f"version {number} came back different")
            rows.append(_row(number, done))
        return rows

    def _file(self, folder: Path) -> Path:
        return folder / "work" / f"model{self.series.files[0].suffix}"

    def _settle(self, folder: Path) -> None:
        os.sync()
        if self.cold:
            forget(folder)

    def summary(self) -> dict[str, Any]:
        """For the JSON."""
        known = {
            "peer": self.peer.name,
            "note": self.peer.note,
            "problem": self.problem,
            "passes": self.passes,
        }
        if self.peer.missing() is None:
            known["version"] = run(self.peer.version(), self.work).output.splitlines()[0]
        return known


def _row(number: int, done: Any) -> dict[str, Any]:
    seconds, flush = round(done.seconds, 4), round(done.flush, 4)
    return {"version": number, "seconds": seconds, "flush": flush, "peak": done.peak}


def measure(series: Series, peers: list[Peer], options: argparse.Namespace) -> dict[str, Any]:
    """All peers on one series, pass by pass, so that what else the machine does hits all of them."""
    listed = [Measurement(peer, series, options.work, cold=options.cold) for peer in peers]
    for number in range(options.passes):
        for one in listed:
            if one.problem is None:
                print(f"{series.name}: pass {number + 1}, {one.peer.name}", file=sys.stderr, flush=True)
                one.once()
    return {
        "series": series.name,
        "seed": series.seed,
        "raw": [file.stat().st_size for file in series.files],
        "peers": [one.summary() for one in listed],
    }


def build_missing(names: list[str], options: argparse.Namespace) -> None:
    """Train the series that are not there, in the environment that install-peers.sh made for that."""
    missing = [name for name in names if not (options.series / name).is_dir()]
    if missing:
        python = program(options.tools / "series/bin/python") or sys.executable
        command = [python, str(HERE / "build.py"), "--out", str(options.series), "--seed", str(options.seed)]
        if subprocess.run([*command, "--only", *missing], check=False).returncode:
            raise SystemExit(f"these series could not be trained: {' '.join(missing)}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = sorted({*GROUPS, *GROUPS["all"]})
    parser.add_argument("--only", nargs="+", default=["short"], choices=names, metavar="SERIES")
    parser.add_argument(
        "--peers", nargs="+", metavar="NAME", help="only these, or those whose name contains it"
    )
    parser.add_argument("--series", type=Path, metavar="DIR", help="(default: build/storage/series-SEED)")
    parser.add_argument("--tools", type=Path, default=Path("build/storage/peers"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=1, help="for series that must be trained first")
    parser.add_argument("--passes", type=int, default=3)
    parser.add_argument("--cold", action="store_true", help="neither input nor store in the page cache")
    parser.add_argument("--work", type=Path, default=Path("build/storage"), help="where the stores are made")
    parser.add_argument("--json", type=Path, default=Path("benchmarks/results/storage.json"))
    parser.add_argument("--docs", type=Path, help="write the page too (docs/benchmarks.md)")
    options = parser.parse_args()
    options.series = (options.series or Path(f"build/storage/series-{options.seed}")).resolve()
    options.tools = options.tools.resolve()
    options.work.mkdir(parents=True, exist_ok=True)
    return options


def chosen(peers: list[Peer], wanted: list[str]) -> list[Peer]:
    """Those that are named, or else those whose names contain what is wanted."""
    names = {peer.name.lower() for peer in peers}

    def fits(name: str, part: str) -> bool:
        return name == part if part in names else part in name

    return [peer for peer in peers if any(fits(peer.name.lower(), part.lower()) for part in wanted)]


def main() -> int:
    options = parse()
    names = list(dict.fromkeys(name for given in options.only for name in GROUPS.get(given, (given,))))
    build_missing(names, options)
    peers = chosen(all_peers(options.tools), options.peers or [""])
    if os.getloadavg()[0] > BUSY:
        print(f"The load is {os.getloadavg()[0]:.1f}: take no seconds from this run.", file=sys.stderr)
    known: dict[str, Any] = {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "machine": machine(),
        "passes": options.passes,
        "cache": "cold" if options.cold else "warm",
        "results": [],
    }
    options.json.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=options.work) as work:
        options.work = Path(work).resolve()
        for name in names:
            known["results"].append(measure(load_series(options.series / name), peers, options))
            options.json.write_text(json.dumps(known, indent=1))
            print(report.plain(known["results"][-1]), flush=True)
    if options.docs:
        options.docs.write_text(report.page(known))
    failed = [
        one for result in known["results"] for one in result["peers"] if "failed" in (one["problem"] or "")
    ]
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
