"""What is hashed while the program is loaded counts only for the very bytes that are saved."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_ai.history import headstart, sight
from lepton_ai.history.headstart import HeadStart
from lepton_ai.history.sight import Watch
from lepton_ai.repository import ModelRepository
from lepton_ai.store.pipeline import Digest
from tests.journeys.sights import only_where_files_are_recognised

DATA = os.urandom(headstart.SMALLEST + 12345)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A large file that nobody has touched for a while."""
    place = tmp_path / "weights.bin"
    place.write_bytes(DATA)
    old = time.time() - 60
    os.utime(place, (old, old))
    time.sleep(2 * sight.SETTLED / 1e9)  # the time of change cannot be set
    return place


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelRepository]:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    with ModelRepository(tmp_path / "repo", encrypt=False) as repo:
        yield repo


def _look(place: Path) -> sight.Sight | None:
    with place.open("rb") as handle:
        return Watch().lasting(handle.fileno())


def _whole(start: HeadStart, place: Path) -> tuple[bytes, int]:
    """Wait until everything is hashed."""
    start._thread.join()
    begun = start.of(_look(place))
    assert begun is not None
    return begun[0].digest(), begun[1]


@only_where_files_are_recognised
def test_the_whole_file_is_hashed_if_there_is_time(file: Path) -> None:
    digest, length = _whole(HeadStart(str(file)), file)
    assert (digest, length) == (hashlib.sha256(DATA).digest(), len(DATA))


def test_another_file_or_a_touched_one_gets_nothing(file: Path, tmp_path: Path) -> None:
    start = HeadStart(str(file))
    assert start.of(None) is None
    other = tmp_path / "other.bin"
    other.write_bytes(DATA)
    assert start.of(_look(other)) is None
    with file.open("r+b") as handle:
        handle.write(b"x")
    time.sleep(2 * sight.SETTLED / 1e9)
    assert start.of(_look(file)) is None


def test_what_somebody_may_write_to_is_not_begun(file: Path) -> None:
    with file.open("r+b"):
        start = HeadStart(str(file))
    assert start._thread.ident is None
    assert start.of(_look(file)) is None


@pytest.mark.parametrize("known", [0, 1, 4096, 5000, 10_000])
def test_a_digest_goes_on_from_where_it_was_begun(known: int) -> None:
    data = DATA[:10_000]
    digest = Digest((hashlib.sha256(data[:known]), known))
    for start in range(0, len(data), 3000):
        digest.update(data[start : start + 3000])
    assert digest.finish() == hashlib.sha256(data).digest()


@only_where_files_are_recognised
def test_a_save_takes_what_was_hashed(
    repo: ModelRepository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = repo.home.head_start = HeadStart(str(file))
    start._thread.join()
    hashed: list[int] = []
    update = Digest.update

    def counting(self: Digest, data: bytes) -> None:
        hashed.append(max(0, len(data) - self._known))
        update(self, data)

    monkeypatch.setattr(Digest, "update", counting)
    version = repo.save_files(file)
    assert version.files[0].sha256 == hashlib.sha256(DATA).hexdigest()
    assert sum(hashed) == 0


@only_where_files_are_recognised
def test_a_file_that_is_touched_while_it_is_saved_is_hashed_again(
    repo: ModelRepository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was hashed before is not believed any more: the digest is that of the bytes that are stored."""
    start = repo.home.head_start = HeadStart(str(file))
    start._thread.join()
    start._sha256 = hashlib.sha256(b"something else")  # as if other bytes had been there
    remember, asked = repo.home.seen().__class__.remember, []

    def touched(self, *given):  # type: ignore[no-untyped-def]
        if not asked:
            file.chmod(0o600)  # moves the time of change
        asked.append(given)
        return remember(self, *given)

    monkeypatch.setattr("lepton_ai.history.seen.Seen.remember", touched)
    version = repo.save_files(file)
    assert version.files[0].sha256 == hashlib.sha256(DATA).hexdigest()
    assert version.checkout(file.parent / "out")[0].read_bytes() == DATA


def test_with_read_all_nothing_is_believed(repo: ModelRepository, file: Path) -> None:
    start = repo.home.head_start = HeadStart(str(file))
    start._sha256 = hashlib.sha256(b"something else")
    repo.home.read_all = True
    assert repo.save_files(file).files[0].sha256 == hashlib.sha256(DATA).hexdigest()


def test_the_program_begins_with_the_file_that_it_is_to_save(file: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv[0] = 'lepton'\n"
        "from lepton_ai.cli import main\n"
        "code = main()\n"
        "from lepton_ai.history.headstart import begun\n"
        "sys.exit(code or (0 if begun() else 7))"
    )
    command = [sys.executable, "-c", script, "--repo", str(tmp_path / "r"), "save", str(file), "--json"]
    environment = os.environ | {"LEPTON_AI_NO_PROVENANCE": "1", "XDG_CONFIG_HOME": str(tmp_path / "config")}
    with ModelRepository(tmp_path / "r", encrypt=False):
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    with ModelRepository(tmp_path / "r", create=False) as repo:
        assert repo.version("v1").files[0].sha256 == hashlib.sha256(DATA).hexdigest()


@only_where_files_are_recognised
def test_nothing_more_is_hashed_of_a_file_that_is_recognised(
    repo: ModelRepository, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo.save_files(file)
    read, preadv, go_on = list[int](), os.preadv, threading.Event()

    def waiting(descriptor: int, buffers: list[bytearray], offset: int) -> int:
        read.append(offset)
        go_on.wait(60)
        return preadv(descriptor, buffers, offset)

    monkeypatch.setattr(os, "preadv", waiting)
    start = repo.home.head_start = HeadStart(str(file))
    repo.save_files(file)
    go_on.set()
    start._thread.join()
    assert len(read) <= 1
