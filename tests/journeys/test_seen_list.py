"""The list of what was seen: sealed, small, and of no harm when it is lost."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from lepton_ai.history import seen, sight
from lepton_ai.repository import ModelRepository
from lepton_ai.store.seal.plain import PlainSeal
from tests.journeys.sights import (
    SIZE,
    any_disk,
    file,
    left_alone,
    only_where_files_are_recognised,
    quick,
    read,
    repo,
    saved,
)

__all__ = ["any_disk", "file", "quick", "read", "repo", "saved"]
pytestmark = [only_where_files_are_recognised, pytest.mark.usefixtures("quick", "any_disk")]


@pytest.mark.parametrize("encrypt", [True, False])
def test_a_damaged_list_is_no_list(
    tmp_path: Path, file: Path, read: list[str], encrypt: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    repo = ModelRepository(tmp_path / "repo", encrypt=encrypt)
    repo.save_files(file)
    place = repo.home.place / "seen"
    whole = place.read_bytes()
    flipped = [whole[:i] + bytes([whole[i] ^ 1]) + whole[i + 1 :] for i in range(0, len(whole), 7)]
    for damaged in (b"", b"x", b"no list" * 9, whole[:-1], whole[: len(whole) // 2], *flipped):
        place.write_bytes(damaged)
        assert repo.home.seen().recall(file, file.name) is None
    read.clear()
    repo.save_files(file)
    assert read == ["m.bin"]
    assert repo.home.seen().recall(file, file.name)


def test_a_list_that_nobody_with_a_key_wrote_is_not_believed(
    saved: ModelRepository, file: Path, tmp_path: Path
) -> None:
    """Neither one in plain nor another repository's, which says what somebody would like to be true."""
    place = saved.home.place / "seen"
    forger = saved.home.seen()
    (known,) = forger._read().values()
    listed = seen._List(sight.boot(), seen.__version__, (msgspec.structs.replace(known, digest=bytes(32)),))
    payload, seal = msgspec.msgpack.encode(listed), PlainSeal()
    place.write_bytes(b"".join((b"\0", seal.key_id, *seal.seal(payload, seen.PURPOSE))))
    assert saved.home.seen().recall(file, file.name) is None
    other = ModelRepository(tmp_path / "other")
    other.save_files(file)
    place.write_bytes((other.home.place / "seen").read_bytes())
    assert saved.home.seen().recall(file, file.name) is None


def test_the_list_tells_nobody_anything(saved: ModelRepository, file: Path) -> None:
    (known,) = saved.home.seen()._read().values()
    written = (saved.home.place / "seen").read_bytes()
    inode = msgspec.msgpack.encode(known.sight.inode)
    assert not [secret for secret in (b"m.bin", known.digest, known.name, inode) if secret in written]


def test_the_list_is_small_and_forgets_the_oldest(
    repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "MOST", 2)
    files = [tmp_path / f"{number}.bin" for number in range(4)]
    left_alone(*((file, bytes(SIZE)) for file in files))
    for one in files:
        repo.save_files(one)
    assert [bool(repo.home.seen().recall(file, file.name)) for file in files] == [False, False, True, True]
    assert (repo.home.place / "seen").stat().st_size < 400
    left_alone((tmp_path / "tiny.bin", b"tiny"))
    repo.save_files(tmp_path / "tiny.bin")
    assert repo.home.seen().recall(tmp_path / "tiny.bin", "tiny.bin") is None


def test_two_at_once_keep_what_both_saw(repo: ModelRepository, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.bin" for number in range(3)]
    left_alone(*((file, bytes(SIZE)) for file in files))
    both = [repo.home.seen(), repo.home.seen()]
    for sights, one in zip(both, files, strict=False):
        sights.digest(one, one.name)
    for sights in both:
        sights.store()
    assert all(repo.home.seen().recall(file, file.name) for file in files[:2])
    aside = repo.home.place / "seen.tmp"
    for settled in (False, True, True):  # another is writing; it died long ago; it is gone
        aside.touch()
        if settled:
            os.utime(aside, (0, 0))
        third = repo.home.seen()
        third.digest(files[2], files[2].name)
        third.store()
        assert aside.exists() != settled
    third.digest(files[2], files[2].name)


def test_a_list_that_cannot_be_written_does_no_harm(
    repo: ModelRepository, file: Path, read: list[str]
) -> None:
    (repo.home.place / "seen").mkdir()
    for _ in range(2):
        read.clear()
        repo.save_files(file)
        assert read == ["m.bin"]
    assert not (repo.home.place / "seen.tmp").exists()
