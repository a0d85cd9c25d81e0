"""What a checkout wrote is known without reading it, and what it replaces is made use of, and still proven."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import errors
from lepton_ai.history import seen
from lepton_ai.history.replaced import replaced
from lepton_ai.repository import ModelRepository
from tests.journeys.sights import (
    SIZE,
    WAIT,
    any_disk,
    file,
    left_alone,
    only_where_files_are_recognised,
    quick,
    read,
    repo,
)
from tests.journeys.test_seen import _replaced, _rewritten

__all__ = ["any_disk", "file", "quick", "read", "repo"]
pytestmark = [only_where_files_are_recognised, pytest.mark.usefixtures("quick", "any_disk")]


@pytest.fixture
def checked_out(
    repo: ModelRepository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[ModelRepository, Path]:
    """A repository with two versions, and the first one of them checked out, a moment ago."""
    monkeypatch.setattr(seen, "WRITTEN", SIZE)
    repo.save_files(file)
    left_alone((file, b"1" * SIZE))
    repo.save_files(file)
    repo.checkout("v1", tmp_path / "out")
    return repo, tmp_path / "out" / file.name


def test_what_a_checkout_wrote_is_not_read_again(
    checked_out: tuple[ModelRepository, Path], read: list[str]
) -> None:
    repo, place = checked_out
    time.sleep(WAIT)
    read.clear()
    repo.checkout("v2", place.parent)
    time.sleep(WAIT)
    repo.save_files(place)
    assert read == []
    assert place.read_bytes() == b"1" * SIZE


def test_what_is_written_right_after_a_checkout_is_seen(
    checked_out: tuple[ModelRepository, Path],
) -> None:
    repo, place = checked_out
    place.write_bytes(b"y" * SIZE)
    time.sleep(WAIT)
    with pytest.raises(errors.WouldOverwrite):
        repo.checkout("v2", place.parent)
    assert place.read_bytes() == b"y" * SIZE


@pytest.mark.parametrize("change", [_rewritten, _replaced])
def test_a_change_that_hides_right_after_a_checkout_is_seen(
    checked_out: tuple[ModelRepository, Path], change: Callable[[Path], None]
) -> None:
    repo, place = checked_out
    change(place)
    time.sleep(WAIT)
    with pytest.raises(errors.WouldOverwrite):
        repo.checkout("v2", place.parent)


def test_a_file_that_came_into_the_place_of_ours_is_not_taken_for_it(
    repo: ModelRepository, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seen, "WRITTEN", SIZE)
    repo.save_files(file)
    sights, ours = repo.home.seen(), tmp_path / "ours"
    with ours.open("wb") as handle:
        handle.write(b"ours" * SIZE)
        handle.flush()
        finished = sights.finished(handle.fileno())
    assert finished is not None
    ours.write_bytes(b"else" * SIZE)
    sights.wrote(finished, ours, b"d" * 32)
    sights.wrote(finished, tmp_path / "nowhere", b"d" * 32)
    sights.wrote(None, file, b"d" * 32)
    sights.store()
    time.sleep(WAIT)
    assert repo.home.seen().recall(ours, ours.name) is None


@pytest.fixture
def tuned(repo: ModelRepository, tmp_path: Path) -> Path:
    """The first of two versions, of which the second one is a fine-tune."""
    values = np.random.default_rng(1).normal(0, 0.02, 1 << 19).astype(np.float32)
    for number in (1, 2):
        save_file({"w": values}, tmp_path / f"v{number}.safetensors")
        repo.save_files(tmp_path / f"v{number}.safetensors")
        values = values + np.float32(1e-5)
    return tmp_path / "v1.safetensors"


def test_blocks_are_taken_from_the_file_that_is_replaced(
    repo: ModelRepository, tuned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a file that is what is wanted nothing is decoded but its description."""
    entry = repo.version("v1").record.files[0]
    with replaced(repo.reader, tuned, entry.sha256) as near:
        assert near is not None
        out = io.BytesIO()
        ids = {id_ for s in repo.reader.content(entry.sha256).streams if s.key for id_ in s.ids}
        assert all(near(id_) for id_ in ids)
        assert near(bytes(32)) is None
        decoded = []
        real = type(repo.home.store._reader)._decode
        monkeypatch.setattr(
            type(repo.home.store._reader),
            "_decode",
            lambda self, place, *rest: decoded.append(place.id) or real(self, place, *rest),
        )
        repo.reader.copy(entry, out, near=near)
    assert out.getvalue() == tuned.read_bytes()
    assert not ids.intersection(decoded)


@pytest.mark.parametrize("lie", [b"", b"x" * (1 << 21)])
def test_a_file_that_is_not_what_it_was_taken_for_spoils_nothing(
    repo: ModelRepository, tuned: Path, lie: bytes
) -> None:
    first, second = (repo.version(name).record.files[0] for name in ("v1", "v2"))
    expected = tuned.with_name("v2.safetensors").read_bytes()
    with replaced(repo.reader, tuned, first.sha256) as near:
        assert near is not None
        tuned.write_bytes(lie)
        out = io.BytesIO()
        repo.reader.copy(second, out, near=near)
    assert out.getvalue() == expected


def test_where_nothing_is_replaced_nothing_is_near(repo: ModelRepository, tuned: Path) -> None:
    digest = repo.version("v1").record.files[0].sha256
    for place, known in ((tuned.with_name("none"), digest), (tuned, None)):
        with replaced(repo.reader, place, known) as near:
            assert near is None
