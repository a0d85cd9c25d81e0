"""Stores for tests: small, in a temporary folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.store.codecs import native
from tests.store.house import House


@pytest.fixture(params=["sealed", "plain"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    """A store with small blocks, with and without encryption."""
    with House.build(tmp_path / "house", encrypt=request.param == "sealed") as house:
        yield house


@pytest.fixture
def sealed(tmp_path: Path) -> Iterator[House]:
    """A store with small blocks, encrypted."""
    with House.build(tmp_path / "house") as house:
        yield house


@pytest.fixture(params=["kernel", "fallback"])
def how(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """With the compiled kernel, and as if there were none."""
    if request.param == "fallback":
        monkeypatch.setenv(native.SWITCH, "1")
    native.kernel.cache_clear()
    yield request.param
    native.kernel.cache_clear()
