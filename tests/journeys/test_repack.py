"""Repack: fewer bytes and packs within a bound on the chain; every version stays what it was."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai import errors
from lepton_ai.history import leases, sentence
from lepton_ai.history import repack as repacks
from lepton_ai.history import save as saves
from lepton_ai.history.files import collect
from lepton_ai.history.leases import Lease
from lepton_ai.history.repack import Repacked
from lepton_ai.history.writing import Saving
from lepton_ai.repository import ModelRepository
from lepton_ai.store.codecs import choice, tiles
from lepton_ai.store.codecs.native import kernel
from lepton_ai.store.codecs.tiles import EDGE, FULL
from lepton_ai.store.coder import LONGEST
from lepton_ai.store.packs.format import Header, headers
from lepton_ai.store.packs.reader import read_footer

from .test_turning import LAYERS, SIZE, Model, _packs, _steps


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna")


@pytest.fixture
def model(tmp_path: Path) -> Model:
    return Model(tmp_path)


def _disk(repo: ModelRepository) -> dict[str, str]:
    """Every file of the repository, by its content."""
    return {
        str(path.relative_to(repo.path)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(repo.path.rglob("*"))
        if path.is_file()
    }


def _codecs(repo: ModelRepository) -> set[int]:
    blobs = repo.home.store._blobs
    return {
        header.codec
        for info in repo.home.store.packs()
        for _, header in headers(read_footer(blobs, info.name, info.size))
        if header.plain_length == 4 * SIZE
    }


def _settled(repo: ModelRepository, done: Repacked, **options: int) -> None:
    """The report tells the truth, and there is nothing left to do."""
    assert done.after.bytes == repo.stats().pack_bytes
    assert done.after.packs == len(_packs(repo))
    again = repo.repack(**options)
    assert (again.recoded, again.rewritten) == (0, 0)
    assert again.before == again.after == done.after
    assert not repo.home.history.scan("condemned/")
    assert not repo.home.history.scan("gc/running")


def test_a_long_series_takes_fewer_bytes_and_packs(repo: ModelRepository, model: Model) -> None:
    for _ in range(26):
        newest = model.save(repo)
    plan = repo.repack(dry_run=True)
    done = repo.repack()
    assert done.before == plan.before
    assert done.before.packs > 20
    assert done.after.packs <= 3
    # Of three key frames, 11 versions apart, two are enough when versions on both sides stand on one.
    assert done.after.bytes < done.before.bytes * 0.985
    assert plan.after.bytes == pytest.approx(done.after.bytes, rel=0.02)
    assert plan.after.packs == done.after.packs
    assert (plan.recoded, plan.rewritten) == (done.recoded, done.rewritten)
    assert done.after.longest_chain <= LONGEST
    assert done.after.dead_bytes == 0
    assert done.after.newest_cost == 1
    assert _steps(repo, newest) == 1
    _settled(repo, done)
    model.check(repo)
    model.save(repo)
    model.check(repo)


@pytest.mark.parametrize("bound", [1, 2, 4])
def test_the_bound_holds_for_every_block(repo: ModelRepository, model: Model, bound: int) -> None:
    for _ in range(9):
        model.save(repo)
    small = repo.stats().pack_bytes
    plan, done = repo.repack(max_chain=bound, dry_run=True), repo.repack(max_chain=bound)
    assert max(_steps(repo, address) for address in model.known) == bound
    assert done.after.longest_chain == bound
    assert done.after.oldest_cost <= bound
    assert done.after.bytes > small
    assert plan.after.bytes == pytest.approx(done.after.bytes, rel=0.05)
    _settled(repo, done, max_chain=bound)
    model.check(repo)
    repo.gc(grace=0)
    assert max(_steps(repo, address) for address in model.known) == bound, "gc takes no key frame away"
    model.save(repo)
    model.check(repo)
    back = repo.repack()
    assert back.after.bytes < small * 1.2
    model.check(repo)


def test_a_dry_run_changes_nothing(repo: ModelRepository, model: Model) -> None:
    for _ in range(5):
        model.save(repo)
    before = _disk(repo)
    done = repo.repack(max_chain=2, dry_run=True)
    assert done.recoded > 0
    assert _disk(repo) == before


def test_what_others_made_needless(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two saves from one version: the loser's parent was stored in full, and nobody settled."""
    model.save(repo)
    with monkeypatch.context() as patch:
        patch.setattr(saves, "settled", lambda *_: (0, []))
        for _ in range(3):
            model.save(repo)
    before = repo.stats().pack_bytes
    done = repo.repack()
    assert done.after.bytes < before * 0.75
    assert done.after.dead_bytes == 0
    _settled(repo, done)
    model.check(repo)


def test_the_newest_of_a_deleted_branch_need_not_be_in_full(repo: ModelRepository, model: Model) -> None:
    for _ in range(6):
        model.save(repo)
    repo.create_branch("side", "v1")
    side = model.save(repo, "side")
    assert _steps(repo, side) == 1, "v1 was too far away to be its base"
    assert repo.repack().recoded == 0
    assert _steps(repo, side) == 1
    repo.delete_branch("side")
    done = repo.repack()
    assert done.recoded > 0
    assert done.after.bytes < done.before.bytes * 0.95
    _settled(repo, done)
    repo.restore_branch("side")
    assert _steps(repo, side) > 1
    model.check(repo)


def test_the_newest_of_every_branch_stays_as_cheap_as_it_was(repo: ModelRepository, model: Model) -> None:
    shared = model.save(repo)
    repo.create_branch("side", shared)
    side = model.save(repo, "side")
    for _ in range(3):
        newest = model.save(repo)
    before = _steps(repo, side)
    for bound in (2, LONGEST):
        repo.repack(max_chain=bound)
        assert _steps(repo, newest) == 1
        assert _steps(repo, side) <= min(before, bound)
    model.check(repo)


def test_tensors_of_unknown_lineage_find_their_like(repo: ModelRepository, model: Model) -> None:
    """The sketches were lost, so that a fine-tune from elsewhere was stored in full, under other names."""
    model.save(repo)
    model.save(repo)
    repo.create_branch("side", "main")
    weights = {f"other.{name}": value for name, value in model.weights.items()}
    tuned = {name: value * np.float32(1.0001) for name, value in weights.items()}
    repo.close()
    (repo.home.place / "index.db").unlink()
    with ModelRepository(repo.path, author="anna") as repo:
        save_file(tuned, model.file)
        model.known["side@v3"] = model.file.read_bytes()
        repo.save_files(model.file, "side")
        assert _steps(repo, "side@v3") == 1
        assert repo.repack().recoded == 0, "it is the newest of its branch"
        repo.delete_branch("side")
        done = repo.repack()
        assert done.recoded >= len(model.weights)
        assert done.after.bytes < done.before.bytes * 0.88
        _settled(repo, done)
        repo.restore_branch("side")
        model.check(repo)


def test_bases_that_no_version_needs_are_left_out(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(8):
        model.save(repo)
    for name in ("v2", "v3", "v5", "v7"):
        repo.delete_version(name)
        del model.known[f"main@{name}"]
    repo.gc(grace=0)
    assert repo.repack().after.objects > 7 * LAYERS, "what is young stays"
    monkeypatch.setattr(leases, "DEFAULT_GRACE", 0.0)
    done = repo.repack()
    assert done.after.objects < done.before.objects
    assert done.after.bytes < done.before.bytes * 0.9
    _settled(repo, done)
    model.check(repo)


@pytest.mark.parametrize("bound", [1, 3, LONGEST])
def test_newer_versions_survive_while_the_history_is_an_older_one(
    repo: ModelRepository, model: Model, bound: int
) -> None:
    """The history was put back from a copy, and that of today comes back after the repack."""
    place = repo.home.place

    def copied(folder: str) -> None:
        repo.close()
        (repo.path.parent / folder).mkdir()
        for file in place.glob("history.db*"):
            shutil.copy2(file, repo.path.parent / folder)

    def put_back(folder: str) -> None:
        for file in place.glob("history.db*"):
            file.unlink()
        for file in (repo.path.parent / folder).iterdir():
            shutil.copy2(file, place)

    for _ in range(3):
        model.save(repo)
    copied("older")
    with ModelRepository(repo.path, author="anna") as again:
        model.save(again)
        model.save(again)
    copied("newer")
    put_back("older")
    with ModelRepository(repo.path, author="anna") as again:
        again.repack(max_chain=bound)
        done = again.repack(max_chain=bound)
        assert (done.recoded, done.rewritten) == (0, 0)
    put_back("newer")
    with ModelRepository(repo.path, author="anna") as again:
        model.check(again)


def test_what_can_be_restored_still_counts(repo: ModelRepository, model: Model) -> None:
    for _ in range(4):
        model.save(repo)
    repo.delete_version("v2")
    repo.repack(max_chain=2)
    repo.restore_version("v2")
    model.check(repo)


def test_old_codecs_give_way_where_there_is_a_better_one(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        for module in (tiles, choice):
            patch.setattr(module, "kernel", lambda: None)
        for _ in range(4):
            model.save(repo)
    assert not {FULL.number, EDGE.number} & _codecs(repo)
    done = repo.repack()
    if kernel() is None:  # then these are the best
        assert done.recoded == 0
    else:
        assert EDGE.number in _codecs(repo)
        assert done.recoded > 0
        assert done.after.bytes < done.before.bytes * 0.97
    _settled(repo, done)
    model.check(repo)


def test_mostly_garbage_is_written_anew(
    repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A third of a pack is little for gc."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.bin").write_bytes(np.random.default_rng(number).bytes(200_000))
    repo.save_files(folder)
    (folder / "0.bin").unlink()
    repo.save_files(folder)
    repo.delete_version("v1")
    repo.gc(grace=0)
    assert repo.stats().pack_bytes > 600_000
    assert repo.repack().after.bytes > 600_000, "it is young: gc leaves it for two weeks, too"
    monkeypatch.setattr(leases, "DEFAULT_GRACE", 0.0)
    assert repo.repack().after.bytes < 402_000
    (_, two) = sorted(repo.checkout("v2", tmp_path / "out"))
    assert two.read_bytes() == (folder / "2.bin").read_bytes()
    assert repo.verify().clean


def test_versions_tell_what_they_take_now(repo: ModelRepository, model: Model) -> None:
    for _ in range(4):
        model.save(repo)
    (first, *_) = repo.list_versions()
    repo.repack(max_chain=1)
    (whole, *_, newest) = repo.list_versions()
    assert whole.stored_bytes > first.stored_bytes
    assert whole.stored_bytes == pytest.approx(newest.stored_bytes, rel=0.01)


def _rot(repo: ModelRepository, is_meant: Callable[[Header], bool]) -> int:
    """Damage objects, by their headers; how many."""
    count = 0
    blobs = repo.home.store._blobs
    for info in repo.home.store.packs():
        file = repo.home.place / "packs" / info.name[:2] / f"{info.name}.pack"
        file.chmod(0o644)
        for offset, header in headers(read_footer(blobs, info.name, info.size)):
            if is_meant(header):
                count += 1
                with file.open("r+b") as handle:
                    handle.seek(offset + header.header_size + 20)
                    handle.write(b"rot")
    return count


def test_the_last_good_copy_is_never_deleted(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The differences would be smaller, but they have rotted, and nobody knows."""
    with monkeypatch.context() as patch:
        patch.setattr(saves, "settled", lambda *_: (0, []))
        for _ in range(3):
            model.save(repo)
    assert _rot(repo, lambda header: header.base is not None and header.plain_length == 4 * SIZE)
    repo.repack()
    _readable(repo, model)


def test_a_difference_whose_base_has_rotted_replaces_nothing(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is itself intact, and copied; what it stands on lies in a pack that stays, and nobody knows."""
    first = model.save(repo)
    monkeypatch.setattr(saves, "settled", lambda *_: (0, []))
    model.save(repo)
    blobs = repo.home.store._blobs
    bases = {
        header.base
        for info in repo.home.store.packs()
        for _, header in headers(read_footer(blobs, info.name, info.size))
    } - {None}
    assert len(bases) == LAYERS
    assert _rot(repo, lambda header: header.id in bases) == LAYERS
    repo.repack()
    repo.repack()
    kept = _packs(repo)
    repo.repack()
    assert _packs(repo) == kept, "what was copied in vain is not copied again and again"
    model.known = {first: model.known[first]}
    _readable(repo, model)


def _readable(repo: ModelRepository, model: Model) -> None:
    """Without what the index knows of it."""
    repo.close()
    (repo.home.place / "index.db").unlink()
    with ModelRepository(repo.path) as again:
        for address, data in model.known.items():
            (path,) = again.checkout(address, repo.path.parent / address, force=True)
            assert path.read_bytes() == data


def test_damage_stays_alone(repo: ModelRepository, model: Model) -> None:
    for _ in range(3):
        model.save(repo)
    repo.create_branch("side", "v1")
    other = np.random.default_rng(9).normal(size=50_000).astype(np.float32)
    save_file({"other": other}, model.file)
    fine = repo.save_files(model.file, "side")
    data = model.file.read_bytes()
    assert _rot(repo, lambda header: header.base is not None and header.plain_length == 4 * SIZE)
    before = {damage.touches for damage in repo.verify().damages}
    done = repo.repack(max_chain=1)
    assert done.unreadable
    assert {damage.touches for damage in repo.verify().damages} == before
    (path,) = fine.checkout(repo.path.parent / "fine")
    assert path.read_bytes() == data
    (path,) = repo.checkout("main@v3", repo.path.parent / "newest")
    assert path.read_bytes() == model.known["main@v3"]


def test_a_save_under_way_is_left_alone_and_counts_afterwards(repo: ModelRepository, model: Model) -> None:
    for _ in range(3):
        model.save(repo)
    save_file({name: value + np.float32(1e-6) for name, value in model.weights.items()}, model.file)
    with Saving(repo.home.history, repo.home.store, "save", turn=True) as saving:
        saving.add_files(collect([model.file]), repo.version("main").record)
        saving.finish()
        with ModelRepository(repo.path, author="ben") as other, pytest.MonkeyPatch.context() as patch:
            patch.setattr(sentence, "LEASE_WAIT", 0.0)
            done = other.repack(max_chain=2)
            assert len(done.running) == 1
        assert saving.checks()
        assert saving.releases()
        assert set(saving.packs) <= _packs(repo)
    model.check(repo)
    repo.repack()
    model.check(repo)


def test_packs_that_somebody_reads_wait(
    repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sentence, "LEASE_WAIT", 0.0)
    for _ in range(4):
        model.save(repo)
    packs = _packs(repo)
    with Lease(repo.home.history, "backup"):
        done = repo.repack()
        assert done.waiting
        assert packs <= _packs(repo)
    model.check(repo)
    after = repo.repack()
    assert not after.waiting
    assert not set(done.waiting) & _packs(repo)
    _settled(repo, after)
    model.check(repo)


def test_one_at_a_time(repo: ModelRepository, model: Model) -> None:
    model.save(repo)
    turn = repacks.Turn(repo.home.history, repo._act(), repacks.REPACK)
    turn.begin()
    with pytest.raises(errors.Busy, match="is repacking already"):
        repo.repack()
    with pytest.raises(errors.Busy, match="is repacking already"):
        repo.gc()
    model.save(repo)
    model.save(repo)
    turn.end()
    repo.repack()
    model.check(repo)


def test_no_room(repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(4):
        model.save(repo)
    packs = _packs(repo)

    def full(_: Path, needed: int) -> None:
        assert needed > 0
        raise errors.NoSpace("No space left.")

    with monkeypatch.context() as patch:
        patch.setattr(repacks, "check_space", full)
        with pytest.raises(errors.NoSpace):
            repo.repack(max_chain=1)
    assert _packs(repo) == packs
    repo.repack(max_chain=1)
    model.check(repo)


def test_it_works_in_portions(repo: ModelRepository, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written is freed before the next is written."""
    for _ in range(6):
        model.save(repo)
    monkeypatch.setattr("lepton_ai.store.repack.repacker.ROUND", 150_000)
    monkeypatch.setattr("lepton_ai.store.repack.recode.CHUNK", 30_000)
    monkeypatch.setattr("lepton_ai.store.repack.packs.GROUP", 250_000)
    done = repo.repack(max_chain=1)
    assert done.after.longest_chain == 1
    assert done.after.dead_bytes == 0
    assert done.after.bytes == pytest.approx(6 * done.before.bytes / (1 + 5 * 0.6), rel=0.1)
    model.check(repo)
    monkeypatch.undo()
    _settled(repo, repo.repack())
    model.check(repo)


def test_an_empty_repository(repo: ModelRepository) -> None:
    done = repo.repack()
    assert done.before == done.after
    assert done.after.bytes == done.after.longest_chain == 0


@pytest.mark.parametrize("bound", [0, -1, 1000, True, "3", 2.5, None])
def test_what_is_no_bound(repo: ModelRepository, bound: object) -> None:
    with pytest.raises(errors.UsageError, match="longest chain"):
        repo.repack(max_chain=bound)  # type: ignore[arg-type]
