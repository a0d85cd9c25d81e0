"""Garbage collection: what goes, what stays, what waits."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from msgspec.structs import replace

from lepton_ai import errors
from lepton_ai.history import leases, states
from lepton_ai.history.files import collect
from lepton_ai.history.leases import Lease
from lepton_ai.history.refs.contract import Commit
from lepton_ai.history.save import EMPTY
from lepton_ai.history.writing import CondemnedMeanwhile, Saving
from lepton_ai.repository import ModelRepository


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna")


def _file(tmp_path: Path, seed: int, size: int = 50_000) -> Path:
    import random

    file = tmp_path / "model.bin"
    file.write_bytes(random.Random(seed).randbytes(size))
    return file


def _packs(repo: ModelRepository) -> int:
    return sum(1 for _ in (repo.home.place / "packs").rglob("*.pack"))


def test_a_deleted_version_is_freed_after_its_grace(repo: ModelRepository, tmp_path: Path) -> None:
    repo.save_files(_file(tmp_path, 1))
    repo.save_files(_file(tmp_path, 2))
    repo.delete_version("v2", why="bad data")
    assert repo.gc().versions == ()
    assert repo.restore_version("v2").status == "Active"
    repo.delete_version("v2")
    plan = repo.gc(grace=0, dry_run=True)
    assert plan.versions == ("v2",)
    assert plan.bytes > 50_000
    assert _packs(repo) == 2
    report = repo.gc(grace=0)
    assert report.versions == ("v2",)
    assert report.bytes == plan.bytes
    assert _packs(repo) == 1
    with pytest.raises(errors.NotFound, match="freed"):
        repo.restore_version("v2")
    (gone,) = (info for info in repo.list_versions(deleted=True) if info.name == "v2")
    assert gone.status == "Purged"
    assert repo.verify().clean


def test_what_another_version_shares_stays(repo: ModelRepository, tmp_path: Path) -> None:
    file = _file(tmp_path, 1)
    repo.save_files(file)
    repo.save_files(file, message="the same bytes")
    repo.delete_version("v1")
    repo.gc(grace=0)
    (path,) = repo.checkout("v2", tmp_path / "out")
    assert path.read_bytes() == file.read_bytes()


def test_bases_of_living_differences_stay(repo: ModelRepository, tmp_path: Path) -> None:
    import numpy as np
    from safetensors.numpy import save_file

    rng = np.random.default_rng(0)
    weights = rng.normal(size=100_000).astype(np.float32)
    file = tmp_path / "model.safetensors"
    for number in range(3):
        save_file(
            {"w": weights + np.float32(1e-5 * number) * rng.normal(size=100_000).astype(np.float32)}, file
        )
        repo.save_files(file)
    repo.delete_version("v1")
    repo.gc(grace=0)
    (path,) = repo.checkout("v3", tmp_path / "out")
    assert path.read_bytes() == file.read_bytes()
    assert repo.verify().clean


def test_a_mostly_dead_pack_is_rewritten(repo: ModelRepository, tmp_path: Path) -> None:
    (tmp_path / "both").mkdir()
    _file(tmp_path, 1, 400_000).rename(tmp_path / "both" / "large.bin")
    _file(tmp_path, 2, 50_000).rename(tmp_path / "both" / "small.bin")
    repo.save_files(tmp_path / "both")
    repo.save_files(tmp_path / "both" / "small.bin")
    repo.delete_version("v1")
    before = repo.stats().pack_bytes
    report = repo.gc(grace=0)
    assert report.rewritten
    assert before - repo.stats().pack_bytes > 390_000
    assert repo.checkout("v2", tmp_path / "out")[0].stat().st_size == 50_000
    assert repo.verify().clean
    again = repo.gc(grace=0)
    assert again.packs == again.rewritten == again.waiting == ()


def test_orphans_of_a_dead_save_go_and_those_of_a_running_one_stay(
    repo: ModelRepository, tmp_path: Path
) -> None:
    file = _file(tmp_path, 3)
    with Saving(repo.home.history, repo.home.store, "save") as saving:
        saving.add_files(collect([file]), EMPTY)
        saving.finish()
        assert _packs(repo) == 1
        repo.gc(grace=0)
        assert _packs(repo) == 1, "a running save's pack was collected"
    repo.gc(grace=0)
    assert _packs(repo) == 0


def test_a_save_that_relied_on_a_condemned_pack_begins_anew(repo: ModelRepository, tmp_path: Path) -> None:
    file = _file(tmp_path, 4)
    repo.save_files(file)
    repo.delete_version("v1")
    with Saving(repo.home.history, repo.home.store, "save") as saving:
        saving.add_files(collect([file]), None)
        saving.finish()
        pack = next((repo.home.place / "packs").rglob("*.pack")).stem
        at = states.encode(states.Condemned(time.time_ns() // 1000))
        epoch = repo.home.history.get(["gc/epoch"]).get("gc/epoch")
        moves = (
            states.Move(f"condemned/{pack}", 0, at),
            states.set_("gc/epoch", epoch, states.Epoch(1)),
        )
        repo.home.history.commit(Commit("test", "gc", moves=moves))
        with pytest.raises(CondemnedMeanwhile):
            saving.checks()
    repo.save_files(file)
    repo.gc(grace=0)
    assert repo.checkout("v2", tmp_path / "out")[0].read_bytes() == file.read_bytes()


def test_dead_leases_are_buried(repo: ModelRepository) -> None:
    lease = Lease(repo.home.history, "save")
    (ref,) = repo.home.history.scan("lease/")
    dead = states.decode(states.LeaseState, ref)
    repo.home.history.commit(
        Commit("test", "lease", moves=(states.set_(ref.key, ref, replace(dead, pid=2**22 + 1)),))
    )
    repo.gc(grace=0)
    assert repo.home.history.scan("lease/") == []
    lease.release()


def _with_saving(repo: ModelRepository, tmp_path: Path) -> Saving:
    saving = Saving(repo.home.history, repo.home.store, "save")
    saving.__enter__()
    saving.add_files(collect([_file(tmp_path, 9)]), None)
    return saving


def test_a_save_that_was_taken_for_dead_begins_anew(repo: ModelRepository, tmp_path: Path) -> None:
    saving = _with_saving(repo, tmp_path)
    saving.finish()
    (ref,) = repo.home.history.scan("lease/")
    repo.home.history.commit(Commit("another host", "gc", moves=(states.clear(ref),)))
    with pytest.raises(CondemnedMeanwhile, match="for dead"):
        saving.releases()
    saving.__exit__(None, None, None)


def test_a_save_whose_pack_is_gone_begins_anew(repo: ModelRepository, tmp_path: Path) -> None:
    saving = _with_saving(repo, tmp_path)
    saving.finish()
    repo.home.store.drop([pack.name for pack in repo.home.store.packs()])
    assert saving.checks()
    epoch = repo.home.history.get(["gc/epoch"]).get("gc/epoch")
    repo.home.history.commit(Commit("gc", "gc", moves=(states.set_("gc/epoch", epoch, states.Epoch(1)),)))
    with pytest.raises(CondemnedMeanwhile):
        saving.checks()
    saving.__exit__(None, None, None)


def test_only_one_collection_runs(repo: ModelRepository) -> None:
    other = states.set_("gc/running", None, leases.present("gc"))
    repo.home.history.commit(Commit("other", "gc", moves=(other,)))
    with pytest.raises(errors.Busy, match=f"process {os.getpid()} "):
        repo.gc(grace=0)
    assert repo.gc(grace=0, dry_run=True).packs == ()
    (ref,) = repo.home.history.scan("gc/running")
    dead = replace(leases.present("gc"), born="1")
    repo.home.history.commit(Commit("other", "gc", moves=(states.set_(ref.key, ref, dead),)))
    repo.gc(grace=0)
    assert repo.home.history.scan("gc/running") == []


@pytest.mark.parametrize("grace", [-1, float("nan"), float("inf")])
def test_a_grace_that_is_no_time_is_refused(repo: ModelRepository, grace: float) -> None:
    with pytest.raises(errors.UsageError, match="grace"):
        repo.gc(grace=grace)


def test_a_process_number_used_again_keeps_no_lease_alive() -> None:
    here = leases.present("save")
    assert leases.is_alive(here)
    assert not leases.is_alive(replace(here, born="1"))
    assert leases.is_alive(replace(here, place="another machine start", pid=2**22 + 1))
    assert not leases.is_alive(replace(here, place="another machine start", beat_at=0))


def test_a_version_that_cannot_be_read_is_named_and_deleted_ones_stay_restorable(
    repo: ModelRepository, tmp_path: Path
) -> None:
    for seed in range(3):
        repo.save_files(_file(tmp_path, seed))
    contents = [_file(tmp_path, seed).read_bytes() for seed in range(3)]
    (entry,) = repo.version("v2").files
    manifest = repo.reader.rows([entry.sha256])[entry.sha256].manifest
    lost = repo.home.store._index.find([manifest])[manifest][0].pack
    repo.delete_version("v1")
    repo.close()
    next((repo.home.place / "packs").rglob(f"{lost}.pack")).unlink()
    with ModelRepository(repo.path) as opened:
        for dry_run in (True, False, False):
            with pytest.raises(errors.Damaged, match=r"main@v2 .*: No pack holds") as caught:
                opened.gc(grace=0, dry_run=dry_run)
            assert "delete what is lost" in str(caught.value.hint)
        opened.restore_version("v1")
        opened.checkout("v1", tmp_path / "out")
        assert (tmp_path / "out" / "model.bin").read_bytes() == contents[0]
        opened.delete_version("v2")
        opened.delete_version("v1")
        assert set(opened.gc(grace=0).versions) == {"v1", "v2"}
        assert _packs(opened) == 2  # what v1 shared with v3 was copied
        assert opened.verify().clean
        assert opened.checkout("v3", tmp_path / "out3")[0].read_bytes() == contents[2]
