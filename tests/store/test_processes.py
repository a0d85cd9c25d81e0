"""Many processes at once, and processes that die at any moment."""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lepton_ai.store.packs import writer as pack_writer
from lepton_ai.store.packs.writer import PackWriter, sweep
from tests.store.house import House, block_ids, noise, weights

PROCESSES = 8
SAVES = 6


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The children find their key in a config folder of our own."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def _many_saves(root: Path, number: int) -> None:
    """A process's work: saves of its own and of what all others save too, read back at once."""
    from lepton_ai.store.seal.keyring import open_keys

    with House.enter(root, open_keys(root / "keys", "house")) as house:
        for turn in range(SAVES):
            own, shared = noise(30_000, seed=1000 * number + turn), noise(50_000, seed=turn)
            one, _ = house.tensor(own)
            two, _ = house.tensor(shared)
            assert house.load(one.content) == own
            assert house.load(two.content) == shared


def test_eight_processes_write_at_once(house: House) -> None:
    if house.keyring.encrypted:
        house.keyring.wrap_with_key_file()
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_many_saves, args=(house.root, number)) for number in range(PROCESSES)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    assert [worker.exitcode for worker in workers] == [0] * PROCESSES
    assert list(house.store.verify(fast=False)) == []
    assert house.leftovers() == []
    packs = {path.stem for path in house.packs()}
    assert {info.name for info in house.store._index.packs()} == packs
    for number in range(PROCESSES):
        added, written = house.tensor(noise(30_000, seed=1000 * number + SAVES - 1))
        assert written.packs == (), "it was kept"
        assert house.load(added.content) == noise(30_000, seed=1000 * number + SAVES - 1)


# -- dying ------------------------------------------------------------------------------------------------------------

_VICTIM = """
import sys
from pathlib import Path
from lepton_ai.store.seal.keyring import open_keys
from tests.store.house import House
from tests.store.test_processes import victim_data
with House.enter(Path(sys.argv[1]), open_keys(Path(sys.argv[1]) / "keys", "house")) as house:
    print("ready", flush=True)
    sys.stdin.readline()
    house.tensor(victim_data(int(sys.argv[2])))
    print("saved", flush=True)
"""


def victim_data(turn: int) -> bytes:
    """What the victim saves."""
    return noise(400_000, seed=turn)


def _kill_during_save(root: Path, turn: int, delay: float | None) -> bool:
    """Start a save and kill it after ``delay`` seconds (None: let it end); whether it was too late."""
    command = [sys.executable, "-c", _VICTIM, str(root), str(turn)]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parent.parent.parent
    )
    assert child.stdin is not None
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    child.stdin.write(b"go\n")
    child.stdin.flush()
    if delay is not None:
        time.sleep(delay)
        child.send_signal(signal.SIGKILL)
    rest = child.stdout.read()
    child.wait(30)
    child.stdin.close()
    child.stdout.close()
    return rest == b"saved\n"


def test_killed_at_any_moment_nothing_is_lost(sealed: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each kill everything earlier reads back, verify is clean, and the save can be repeated."""
    monkeypatch.setattr(pack_writer, "SETTLED", 0.0)
    sealed.keyring.wrap_with_key_file()
    kept = weights(30_000).tobytes()
    first, _ = sealed.tensor(kept)
    rng = random.Random(4)
    started = time.monotonic()
    assert _kill_during_save(sealed.root, 99, None)
    whole = time.monotonic() - started - 0.2  # starting Python is not part of the save
    late = 0
    for turn in range(15):
        late += _kill_during_save(sealed.root, turn, rng.uniform(0, max(0.1, 0.3 * whole)))
        with sealed.again() as house:
            assert house.load(first.content) == kept
            assert list(house.store.verify(fast=False)) == []
            if turn % 3 == 0:
                added, _ = house.tensor(victim_data(turn))
                assert house.load(added.content) == victim_data(turn)
                assert house.leftovers() == []
    assert late < 15, "no kill was in time"


_DIES_AT = """
import os, signal, sys
from pathlib import Path
from lepton_ai.store.seal.keyring import open_keys
from tests.store.house import House
from tests.store.test_processes import victim_data
count, last = 0, int(sys.argv[3])
def tick(name, inner):
    def wrapped(*arguments, **named):
        global count
        count += 1
        if count == last:
            os.kill(os.getpid(), signal.SIGKILL)
        return inner(*arguments, **named)
    return wrapped
for name in ("fsync", "mkdir", "rename", "unlink", "open"):
    setattr(os, name, tick(name, getattr(os, name)))
with House.enter(Path(sys.argv[1]), open_keys(Path(sys.argv[1]) / "keys", "house")) as house:
    house.tensor(victim_data(int(sys.argv[2])))
print(count)
"""


def test_killed_before_every_step_on_the_disk(sealed: House) -> None:
    """Not at random but before each call that changes names or makes something durable."""
    sealed.keyring.wrap_with_key_file()
    kept = weights(3000).tobytes()
    first, _ = sealed.tensor(kept)
    step, ended = 0, False
    while not ended:
        step += 1
        command = [sys.executable, "-c", _DIES_AT, str(sealed.root), str(step), str(step)]
        done = subprocess.run(
            command, cwd=Path(__file__).parent.parent.parent, capture_output=True, check=False
        )
        ended = done.returncode == 0
        assert ended or done.returncode == -signal.SIGKILL, done.stderr.decode()
        with sealed.again() as house:
            assert house.load(first.content) == kept
            assert list(house.store.verify(fast=False)) == []
            added, _ = house.tensor(victim_data(step))
            assert house.load(added.content) == victim_data(step)
    assert step > 5


# -- leftovers --------------------------------------------------------------------------------------------------------


def _age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_only_the_leftovers_of_the_dead_are_swept(house: House) -> None:
    folder = house.root / "tmp"
    living = PackWriter(folder)
    dead, fresh, foreign = folder / "pack-1-dead.tmp", folder / "pack-2-fresh.tmp", folder / "other"
    for path in (dead, fresh, foreign):
        path.write_bytes(b"x")
    for path in (living.path, dead, foreign):
        _age(path, 3600)
    with house.store.writer():
        pass
    assert sorted(house.leftovers()) == sorted([living.path, fresh, foreign])
    living.discard()
    sweep(folder)
    assert sorted(house.leftovers()) == sorted([fresh, foreign])


def test_a_store_survives_a_fork(sealed: House) -> None:
    """Data loaders fork: the child must not use the parent's connection."""
    added, _ = sealed.tensor(noise(20_000))
    sealed.load(added.content)
    context = multiprocessing.get_context("fork")

    def child(queue: multiprocessing.Queue[bool]) -> None:
        queue.put(sealed.store.read(added.content, 0, 100) == noise(20_000)[:100])

    queue: multiprocessing.Queue[bool] = context.Queue()
    process = context.Process(target=child, args=(queue,))
    process.start()
    assert queue.get(timeout=30)
    process.join(30)
    assert sealed.store.missing(block_ids(added.content)) == set()
    assert sealed.load(added.content) == noise(20_000)


def test_a_file_that_goes_while_it_is_looked_at_is_no_error(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process publishes its pack between the listing and the look."""
    folder = house.root / "tmp"
    folder.mkdir()
    gone = folder / "pack-1-gone.tmp"
    monkeypatch.setattr(Path, "glob", lambda path, pattern: [gone])
    sweep(folder)
