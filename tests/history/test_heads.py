"""Which branches stand on which version: as a whole, and kept up by the log."""

from __future__ import annotations

from pathlib import Path

from lepton_ai import ModelRepository
from lepton_ai.history.heads import Heads
from lepton_ai.testing.counting import CountingHistory


def test_heads_follow_every_move_and_read_no_more_than_moved(tmp_path: Path) -> None:
    with ModelRepository(tmp_path / "repo", author="ada") as repo:
        (tmp_path / "a.bin").write_bytes(b"a" * 1000)
        first = repo.save_files([tmp_path / "a.bin"])
        for number in range(20):
            repo.create_branch(f"b{number:02}")
        counting = CountingHistory(repo.home.history)
        heads = Heads(counting)
        fresh = lambda: Heads(repo.home.history).on(known)  # noqa: E731  (what a first question would say)
        known = [bytes.fromhex(first.id)]
        assert heads.on(known) == fresh() == {known[0]: ["main", *(f"b{n:02}" for n in range(20))]}
        (tmp_path / "a.bin").write_bytes(b"b" * 1000)
        second = repo.save_files([tmp_path / "a.bin"])
        known.append(bytes.fromhex(second.id))
        repo.update_version(second, metrics={"loss": 1.0})
        repo.delete_branch("b03")
        repo.rename_branch("b04", "renamed")
        repo.merge_branch("main", "b05")
        rows = counting.rows_read
        assert heads.on(known) == fresh()
        assert heads.on(known)[known[1]] == ["main", "b05"]
        assert counting.rows_read - rows < 20
        repo.restore_branch("b03")
        assert heads.on(known) == fresh()
        assert heads.on([]) == {}
