"""Files that commands write where somebody says."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from lepton_ai.cli.written import write
from lepton_ai.errors import StorageFailed


def test_the_file_is_named_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a disk that may only be read, where nothing can be removed either."""

    def refused(self: Path, *_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "open", refused)
    monkeypatch.setattr(Path, "unlink", refused)
    with pytest.raises(StorageFailed, match=r"page\.html cannot be written: Read-only file system"):
        write(tmp_path / "page.html", lambda file: file.write(b"x"))


def test_nothing_half_written_stays(tmp_path: Path) -> None:
    def interrupted(file: object) -> None:
        raise KeyboardInterrupt

    (tmp_path / "pages").mkdir()
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "pages" / "page.html", interrupted)
    assert list((tmp_path / "pages").iterdir()) == []
