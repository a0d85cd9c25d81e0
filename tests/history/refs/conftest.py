"""Where the tests of the history keep their files."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = Path("/dev/shm")


@pytest.fixture
def swift_path(tmp_path: Path) -> Iterator[Path]:
    """A folder in memory where there is one, for tests of thousands of commits: each syncs the disk several times,
    and a disk that others use would be all that they measure. What survives a killed process is the same in both."""
    if not os.access(MEMORY, os.W_OK):
        yield tmp_path
        return
    folder = Path(tempfile.mkdtemp(dir=MEMORY))
    yield folder
    shutil.rmtree(folder)
