"""Computed elements on their way into a merged file: readable, and in no folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_ai.formats.contract import Malformed
from lepton_ai.history.merging.compute import Scratch


def test_what_was_written_is_read_and_nowhere_to_be_found(tmp_path: Path) -> None:
    scratch = Scratch(tmp_path)
    places = [scratch.take(iter(parts)) for parts in ([b"ab", b"cd"], [b"efg"])]
    one, other = map(scratch.source, places)
    assert (one.read(1, 3), other.read(0, 3)) == (b"bcd", b"efg")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(Malformed, match="lie outside of 3"):
        other.read(1, 3)
    scratch.close()
