"""Files that no reader understands: one run of opaque bytes."""

from __future__ import annotations

from lepton_ai.formats.contract import Layout, partition


def layout(size: int, note: str = "") -> Layout:
    """The layout of ``size`` bytes of unknown meaning; ``note`` tells people why."""
    return Layout("opaque", partition(size, ()), note=note)
