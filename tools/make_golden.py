"""Write the golden repository of the present format: ``python tools/make_golden.py tests/golden/format-1``.

Run once for each format, by the release that freezes it; every later release must read what lies there. The key lies
beside it, since it protects nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np


def models(folder: Path) -> list[Path]:
    """A parent, a fine-tune, the same elsewhere, a folder of several files, and one that no reader understands."""
    from safetensors.numpy import save_file

    rng = np.random.default_rng(1)
    weights = rng.normal(size=(64, 300)).astype(np.float32)
    places = [folder / str(number) for number in range(5)]
    for place in places:
        place.mkdir()
    save_file(
        {"layer.weight": weights, "layer.bias": weights[0]}, places[0] / "model.safetensors", {"by": "golden"}
    )
    tuned = weights + rng.normal(size=weights.shape).astype(np.float32) * np.float32(1e-5)
    save_file(
        {"layer.weight": tuned, "layer.bias": weights[0]}, places[1] / "model.safetensors", {"by": "golden"}
    )
    np.savez(places[2] / "arrays.npz", a=weights[:3], b=np.arange(10))
    np.savez_compressed(places[2] / "small.npz", a=weights[:3])
    (places[2] / "config.json").write_text('{"layers": 1}\n')
    (places[2] / "run.sh").write_text("#!/bin/sh\n")
    (places[2] / "run.sh").chmod(0o755)
    (places[2] / "latest").symlink_to("arrays.npz")
    (places[2] / "empty").touch()
    (places[3] / "blob.bin").write_bytes(rng.bytes(1_300_000))
    np.save(places[4] / "table.npy", rng.integers(0, 9, (500, 700)))
    return places


def main(target: Path) -> None:
    """Make the repository, the key beside it, and what must be read from it."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    os.environ.pop("LEPTON_AI_KEY_FILE", None)
    os.environ["LEPTON_AI_NO_PROVENANCE"] = "1"
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["XDG_CONFIG_HOME"] = scratch
        write(target, Path(scratch))
        key = next(Path(scratch).rglob("*.key"))
        shutil.copy(key, target / "key")


def write(target: Path, scratch: Path) -> None:
    """The history: every kind of act."""
    from lepton_ai.repository import ModelRepository

    parent, tuned, folder, blob, table = models(scratch)
    with ModelRepository(target, author="golden") as repo:
        repo.save_files(
            parent, metrics={"accuracy": 0.5}, params={"lr": 0.1}, history={"loss": [1.0, 0.5]}, dataset="d"
        )
        repo.save_files(tuned, message="fine-tuned")
        repo.create_branch("side", "v1")
        repo.save_files(folder, "side", message="several files")
        repo.save_files(blob, "side", name="given-name")
        repo.home.keyring.rotate()
        repo.save_files(table, "main")
        repo.version("v1").update(metrics={"accuracy": 0.75})
        repo.rollback("v2")
        repo.tag("gold", "v1")
        repo.set_alias("production", "v1")
        repo.set_alias("production", "v4")
        repo.save_files(parent, "main")
        repo.delete_version("v5", why="on purpose")
        expected = {
            info.branch + "@" + info.name: {
                "id": info.id,
                "status": info.status,
                "metrics": info.metrics,
                "revision": info.revision,
                "files": {f.path: f.sha256 for f in repo.version(info.id, deleted=True).files},
                "tensors": tensors(repo, info.id) if info.status == "Active" else {},
            }
            for info in repo.list_versions(deleted=True)
        }
        labels = {name: v.id for name, v in {**repo.tags(), **repo.aliases()}.items()}
        result = {"versions": expected, "labels": labels, "log": len(repo.log())}
    (target / ".lepton" / "index.db").unlink()
    (target / "expected.json").write_text(json.dumps(result, indent=1, sort_keys=True) + "\n")


def tensors(repo: object, version_id: str) -> dict[str, str]:
    """Digest of every tensor's bytes."""
    from lepton_ai.repository import ModelRepository

    assert isinstance(repo, ModelRepository)
    version = repo.version(version_id)
    return {
        f"{t.file}:{t.name}": hashlib.sha256(version.tensor(f"{t.file}:{t.name}").tobytes()).hexdigest()
        for t in version.tensors()
    }


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
