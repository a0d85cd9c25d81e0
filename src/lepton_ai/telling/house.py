"""What keeping house found, in plain values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec.structs import asdict

from lepton_ai.history.stats import Stats, VersionStats
from lepton_ai.history.verify import Verdict
from lepton_ai.store.contract import Taken
from lepton_ai.telling.versions import version_json


def stats(found: Stats, shown: Iterable[VersionStats]) -> dict[str, Any]:
    """What a repository takes, in all and by the versions ``shown``."""
    return {
        "raw_bytes": found.raw_bytes,
        "stored_bytes": found.stored_bytes,
        "ratio": found.ratio,
        "versions": [
            version_json(one.info)
            | {"stored_bytes": one.taken.stored_bytes, "ratio": one.ratio}
            | _taken_json(one.taken)
            for one in shown
        ],
        "pack_bytes": found.pack_bytes,
        "packs": found.packs,
        **_taken_json(found.whole),
        "parts": asdict(found.parts),
        "unreadable": found.unreadable,
    }


def _taken_json(taken: Taken) -> dict[str, Any]:
    return {
        "unique_bytes": taken.unique_bytes,
        "shared_bytes": taken.shared_bytes,
        "blocks": taken.blocks,
        "chain": {"mean": taken.mean_chain, "longest": taken.longest_chain},
        "codecs": taken.codecs,
    }


def verdict(found: Verdict) -> dict[str, Any]:
    """What a verification found."""
    return {
        "clean": found.clean,
        "fast": found.fast,
        "versions": found.versions,
        "packs": found.packs,
        "bytes": found.bytes,
        "damages": [
            {
                "where": damage.where,
                "problem": damage.problem,
                "touches": [
                    {"version": version, "file": file, "tensor": tensor or None}
                    for version, file, tensor in damage.touches
                ],
            }
            for damage in found.damages
        ],
    }
