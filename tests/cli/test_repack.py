"""lepton repack."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

from tests.cli.conftest import Lepton

SHAPE = [
    "bytes", "packs", "objects", "dead_bytes", "longest_chain", "mean_chain", "newest_cost", "oldest_cost",
]  # fmt: skip


def _trained(lepton: Lepton, here: Path, versions: int) -> dict[str, bytes]:
    """Versions of some weights, and their bytes."""
    rng = np.random.default_rng(0)
    weights = {name: rng.normal(0, 0.02, 20_000).astype(np.float32) for name in "abc"}
    known = {}
    lepton("init")
    for number in range(1, versions + 1):
        save_file(weights, here / "model.safetensors")
        lepton("save", "model.safetensors")
        known[f"v{number}"] = (here / "model.safetensors").read_bytes()
        weights = {name: w + rng.normal(0, 1e-5, w.shape).astype(np.float32) for name, w in weights.items()}
    return known


def test_the_journey_of_a_repack(lepton: Lepton, here: Path) -> None:
    known = _trained(lepton, here, 7)
    plan = lepton("repack", "--max-chain", "3", "--dry-run").out
    assert "stored in another form" in plan
    assert "After, estimated" in plan
    found = lepton("repack", "--max-chain", "3", "--json").json
    assert list(found) == [
        "dry_run", "max_chain", "before", "after", "recoded", "rewritten", "waiting", "running", "unreadable",
    ]  # fmt: skip
    assert list(found["before"]) == list(found["after"]) == SHAPE
    assert (found["before"]["longest_chain"], found["after"]["longest_chain"]) == (7, 3)
    assert found["after"]["packs"] < found["before"]["packs"]
    assert found["after"]["newest_cost"] == 1
    assert lepton("stats", "--json").json["pack_bytes"] == found["after"]["bytes"]
    assert lepton("repack", "--max-chain", "3").out.startswith("nothing to do: ")
    told = lepton("repack").out.splitlines()
    assert told[0].endswith("written anew")
    assert [line.split("  ")[0].strip() for line in told[2:5]] == [
        "Bytes in packs",
        "Needed by nothing",
        "Packs",
    ]
    for version, data in known.items():
        lepton("checkout", version, "-o", f"out-{version}")
        assert (here / f"out-{version}" / "model.safetensors").read_bytes() == data
    assert lepton("verify").out.startswith("clean")


def test_a_bound_that_is_none(lepton: Lepton) -> None:
    lepton("init")
    for bound in ("0", "100000"):
        error = lepton("repack", "--max-chain", bound, "--json", code=2).error
        assert error["hint"] == "give a number of objects from 1 to 200"
    assert lepton("repack").out.startswith("nothing to do: 0 B in 0 packs")
