"""Connections that break at any byte, servers that die, people who push at once: nothing is lost, or seen in part."""

from __future__ import annotations

import random
import subprocess
import threading
import time
from pathlib import Path

import pytest

from lepton_ai import ModelRepository
from lepton_ai.client import waiting
from lepton_ai.errors import Diverged, LeptonError, StorageFailed
from tests.client.conftest import PROGRAM, Server
from tests.client.cutting import check, clone, travel
from tests.client.places import begun, content, names, place, save, size_of, tuned, weights
from tests.client.proxy import Wire

RARE = 20
"""Every so many versions one is no fine-tune, but a model of its own, which costs 2 MiB."""


def cut_everywhere(wire: Wire, running: Server, tmp_path: Path, points: int) -> None:
    """Push and pull ``points`` versions, then clone them; every journey is cut once at a random byte."""
    chance, url = random.Random(7), place(wire, tmp_path)
    models = (
        weights(2 + number) if number % RARE == RARE // 2 else tuned(weights(), 2 + number)
        for number in range(points)
    )
    with begun(wire, tmp_path) as ours, ModelRepository.clone(url, tmp_path / "theirs") as theirs:
        assert travel(wire, ours, theirs, models, tmp_path / "in", chance) > 1.9 * points
        check(place(running, tmp_path), ours, theirs, tmp_path)
        assert len(names(ours)) == points + 1
        clone(wire, url, ours, tmp_path, chance, max(2, points // 4))


def test_a_cut_at_any_byte_is_gone_on_after(wire: Wire, running: Server, tmp_path: Path) -> None:
    cut_everywhere(wire, running, tmp_path, 10)


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_a_cut_at_any_byte_is_gone_on_after_at_length(wire: Wire, running: Server, tmp_path: Path) -> None:
    cut_everywhere(wire, running, tmp_path, 200)


def test_what_arrived_before_a_cut_is_not_sent_again(
    wire: Wire, running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ATTEMPTS", 2)
    with begun(wire, tmp_path) as ours:
        save(ours, tmp_path / "in", weights(1))
        wire.reset(1_000_000)
        real = wire._tear

        def tear() -> None:
            wire.down = True
            real()

        monkeypatch.setattr(wire, "_tear", tear)
        with pytest.raises(StorageFailed):
            ours.push()
        with ModelRepository(place(running, tmp_path)) as far:
            assert names(far) == ["v1"]
        wire.reset()
        size = size_of(ours)
        ours.push()
        assert wire.up < 0.75 * size / 2 + 100_000
        with ModelRepository(place(running, tmp_path)) as far:
            assert names(far) == ["v1", "v2"]
            assert far.verify().clean
        wire.reset(3_000_000)
        with pytest.raises(StorageFailed):
            ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy")
        kept = sum(file.stat().st_size for file in (tmp_path / "copy").rglob("fetch-*/*"))
        assert kept > 0
        wire.reset()
        with ModelRepository.clone(place(wire, tmp_path), tmp_path / "copy") as copy:
            assert wire.back < size - kept + 200_000
            assert names(copy) == ["v1", "v2"]
            assert copy.verify().clean


def test_a_server_that_is_killed_in_the_middle(wire: Wire, running: Server, tmp_path: Path) -> None:
    chance = random.Random(3)
    with begun(wire, tmp_path) as ours:
        for number in range(2):
            save(ours, tmp_path / "in", weights(number + 1))
            wire.reset()
            after, done = chance.randrange(1_600_000), threading.Event()

            def push(done: threading.Event = done) -> None:
                for _ in range(20):  # as a person would
                    try:
                        ours.push()
                        break
                    except LeptonError:
                        continue
                done.set()

            pusher = threading.Thread(target=push)
            pusher.start()
            while wire.total < after and not done.is_set():
                done.wait(0.001)
            running.kill()  # here: what a thread starts ends with the thread
            running.start()
            pusher.join()
            with ModelRepository(place(running, tmp_path)) as far:
                assert names(far) == names(ours)
                assert far.verify().clean
                assert content(far, f"v{number + 2}", tmp_path / "out") == content(
                    ours, f"v{number + 2}", tmp_path / "own"
                )


def test_who_is_killed_while_pushing_or_cloning_goes_on(wire: Wire, running: Server, tmp_path: Path) -> None:
    begun(wire, tmp_path).close()
    url = place(wire, tmp_path)
    with ModelRepository(tmp_path / "ours", author="ana") as ours:
        save(ours, tmp_path / "in", weights(1))
        size = size_of(ours)

    def killed(*arguments: object) -> None:
        wire.reset()
        process = subprocess.Popen([PROGRAM, *map(str, arguments)], cwd=tmp_path, stderr=subprocess.DEVNULL)
        while wire.total < 1_000_000 and process.poll() is None:
            time.sleep(0.001)
        process.kill()
        process.wait(30)

    killed("--repo", "ours", "push")
    with ModelRepository(place(running, tmp_path)) as far:
        assert set(names(far)) <= {"v1", "v2"}
    wire.reset()
    with ModelRepository(tmp_path / "ours", author="ana") as ours:
        ours.push()
        assert wire.up < 0.75 * size / 2 + 100_000
        assert not list((tmp_path / "ours").rglob("push-*/*.pack"))
    killed("clone", url, "copy")
    with (
        ModelRepository.clone(url, tmp_path / "copy")
        if not cloned(tmp_path / "copy")
        else ModelRepository(tmp_path / "copy") as copy
    ):
        assert names(copy) == ["v1", "v2"]
        assert copy.verify().clean


def cloned(folder: Path) -> bool:
    """Whether the clone had come to its end."""
    if not (folder / ".lepton").exists():
        return False
    with ModelRepository(folder, create=False) as repo:
        return bool(repo.list_versions())


def test_of_two_who_push_at_once_one_is_told_to_pull(wire: Wire, running: Server, tmp_path: Path) -> None:
    with (
        begun(wire, tmp_path) as ours,
        ModelRepository.clone(place(wire, tmp_path), tmp_path / "theirs") as theirs,
    ):
        for round_ in range(2):
            repos = (ours, theirs)
            for number, repo in enumerate(repos):
                model = weights()
                model[f"layer{number}"] = model[f"layer{number}"] + 1 + round_
                save(repo, tmp_path / f"in{number}", model)
            told: list[str] = []

            def push(repo: ModelRepository, told: list[str] = told) -> None:
                try:
                    repo.push()
                    told.append("pushed")
                except Diverged:
                    told.append("diverged")

            threads = [threading.Thread(target=push, args=(repo,)) for repo in repos]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert sorted(told) == ["diverged", "pushed"]
            for repo in repos:
                repo.pull(how="merge", on_conflict="ours")
                repo.push()
            ours.pull()
        with ModelRepository(place(running, tmp_path)) as far:
            assert names(far) == names(ours) == names(theirs)
            assert far.verify().clean
