"""A repository, and the sources that real tools wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lepton_ai import ModelRepository
from lepton_ai.incoming.recognising import open_source
from lepton_ai.incoming.report import Report
from lepton_ai.incoming.taking import bring

from .unpacked import unpack

Bring = Callable[..., Report]


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    monkeypatch.setenv("LEPTON_AI_KEY_FILE", str(tmp_path / "key"))


@pytest.fixture
def source(tmp_path: Path) -> Callable[[str], Path]:
    """A source, unpacked."""
    return lambda name: unpack(name, tmp_path / "sources")


@pytest.fixture
def repository(tmp_path: Path) -> Iterator[ModelRepository]:
    with ModelRepository(tmp_path / "repository", author="Importer", encrypt=False) as made:
        yield made


@pytest.fixture
def bring_in(repository: ModelRepository) -> Bring:
    """Import a place into the repository."""

    def run(place: Path | str, branch: str | None = None, *, dry_run: bool = False, **asked: Any) -> Report:
        kind = asked.pop("kind", None)
        return bring(repository, open_source(str(place), kind, **asked), branch, dry_run=dry_run)

    return run
