"""Several processes at once: nothing is lost, whoever loses a race takes the new parent."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from lepton_ai.repository import ModelRepository

from . import children

PROCESSES = 8
EACH = 6


def run_together(*work: tuple[object, ...]) -> None:
    processes = [children.child(*one) for one in work]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0] * len(processes)


def _check(place: Path, branch: str, expected: set[str]) -> None:
    with ModelRepository(place, create=False) as repository:
        found = [repository.version(info.id) for info in repository.list_versions(branch)]
        assert {version.message for version in found} == expected
        assert len({version.name for version in found}) == len(expected)
        for version in found:
            (path,) = version.checkout(place / "out" / version.id)
            assert path.stat().st_size == 23000


def test_eight_processes_on_one_branch_and_a_collector(tmp_path: Path) -> None:
    place = tmp_path / "repo"
    ModelRepository(place).close()
    work = [(children.save_many, str(place), str(tmp_path), "main", n, EACH) for n in range(PROCESSES)]
    run_together(*work, (children.collect_many, str(place), 3.0))
    _check(place, "main", {f"{n}/{turn}" for n in range(PROCESSES) for turn in range(EACH)})
    with ModelRepository(place, create=False) as repository:
        line = [repository.version(info.id) for info in repository.list_versions("main")]
        assert all(b.parents == (a.id,) for a, b in pairwise(line))
        assert repository.verify().clean


def test_eight_processes_on_branches_of_their_own(tmp_path: Path) -> None:
    place = tmp_path / "repo"
    with ModelRepository(place) as repository:
        for number in range(PROCESSES):
            repository.create_branch(f"b{number}")
    run_together(
        *((children.save_many, str(place), str(tmp_path), f"b{n}", n, EACH) for n in range(PROCESSES))
    )
    for number in range(PROCESSES):
        _check(place, f"b{number}", {f"{number}/{turn}" for turn in range(EACH)})
    with ModelRepository(place, create=False) as repository:
        assert repository.verify().clean


def test_two_processes_that_make_the_same_repository(tmp_path: Path) -> None:
    for turn in range(10):
        place = tmp_path / str(turn)
        run_together(*((children.make, str(place)) for _ in range(4)))
        with ModelRepository(place, create=False) as repository:
            assert len(repository.list_versions()) == 4
