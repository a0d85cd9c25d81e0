"""Merges in progress in plain values."""

from __future__ import annotations

from typing import Any

from lepton_ai.history.record import timestamp
from lepton_ai.history.states import Resolution
from lepton_ai.unfinished import OpenConflict, UnfinishedMerge


def told(merge: UnfinishedMerge) -> dict[str, Any]:
    """A merge in progress: its sides, what is open, who decided what."""
    sides = {
        side: [{"version": version.address, "id": version.id} for version in found]
        for side, found in merge.sides.items()
    }
    return {
        "branch": merge.branch,
        "source": merge.source,
        "started_by": merge.started_by,
        "started_at": merge.started_at,
        **sides,
        "open": merge.open,
        "conflicts": [conflict(one) for one in merge.conflicts],
    }


def conflict(one: OpenConflict) -> dict[str, Any]:
    """A conflict, and what was decided."""
    found = one.resolution
    return {
        "name": one.name,
        "kind": one.kind,
        "why": one.why,
        "decided": _way(found),
        "by": found.by if found else None,
        "at": timestamp(found.at) if found else None,
        "reason": found.why if found else None,
        "results": found.results if found else {},
    }


def _way(found: Resolution | None) -> str | None:
    if found is None:
        return None
    told = ",".join(f"{name}={value}" for name, value in found.parameters.items())
    return found.file if found.how == "file" else f"{found.method or found.how}{told and ':'}{told}"
