"""What the tests of unchanged files share: a repository, files that were left alone, and who reads them."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lepton_ai.history import sight
from lepton_ai.history.files import FileSource
from lepton_ai.repository import ModelRepository
from lepton_ai.store.writer import Writer

SIZE = 16384
WAIT = 0.03

only_where_files_are_recognised = pytest.mark.skipif(
    sys.platform != "linux", reason="elsewhere nothing tells whether a file is open for writing: all are read"
)


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file counts as left alone after twenty milliseconds, two ticks of a slow clock."""
    monkeypatch.setattr(sight, "SETTLED", 20_000_000)


@pytest.fixture
def any_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the tests run on counts as a file system whose times can be trusted; nobody maps files in them."""
    monkeypatch.setattr(sight.Watch, "_kind", lambda *_: "ext4")


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read, in order; clear it before what is to be watched."""
    names: list[str] = []

    def counting(real: Callable[..., Any], place: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*given: Any, **named: Any) -> Any:
            found = place(*given)
            if isinstance(found, str | Path) and Path(found).name not in names:
                names.append(Path(found).name)
            return real(*given, **named)

        return counted

    for owner, name, place in (
        (FileSource, "read", lambda source, *_: source._place),
        (Writer, "add", lambda _, file, *__: getattr(file, "name", None)),
        (hashlib, "file_digest", lambda file, *_: file.name),
    ):
        monkeypatch.setattr(owner, name, counting(getattr(owner, name), place))
    return names


@pytest.fixture
def file(tmp_path: Path) -> Path:
    left_alone((tmp_path / "m.bin", b"\0" * SIZE))
    return tmp_path / "m.bin"


@pytest.fixture
def saved(repo: ModelRepository, file: Path, read: list[str]) -> ModelRepository:
    """A repository that has the file, and recognises it."""
    repo.save_files(file)
    assert repo.home.seen().recall(file, file.name)
    read.clear()
    return repo


def left_alone(*files: tuple[Path, bytes]) -> None:
    """Write files, and wait until they count as left alone."""
    for file, data in files:
        file.write_bytes(data)
    time.sleep(WAIT)


def content(version: Any, folder: Path, name: str) -> bytes:
    """The bytes of a file of a version."""
    version.checkout(folder / version.name)
    return (folder / version.name / name).read_bytes()
