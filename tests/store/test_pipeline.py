"""Two cores, in order, with a bounded number in flight; errors and interrupts leave no thread."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator

import pytest

from lepton_ai.store.pipeline import Digest, Pool, portions
from tests.store.house import noise


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = set(threading.enumerate())
    yield
    assert set(threading.enumerate()) <= before


def test_results_come_in_order() -> None:
    def work(number: int) -> int:
        time.sleep(0.002 * (number % 3))
        return number * number

    with Pool(3) as pool:
        assert list(pool.map(work, range(50))) == [number * number for number in range(50)]
        assert list(pool.map(work, [])) == []
        assert list(pool.map(work, [7])) == [49]


def test_both_workers_work() -> None:
    barrier = threading.Barrier(2, timeout=10)
    with Pool(2) as pool:
        list(pool.map(lambda _: barrier.wait(), range(2)))


def test_no_more_is_taken_than_can_be_in_flight() -> None:
    taken, given = 0, 0
    most = 0

    def items() -> Iterator[int]:
        nonlocal taken, most
        for number in range(100):
            taken += 1
            most = max(most, taken - given)
            yield number

    with Pool(2) as pool:
        for _ in pool.map(lambda number: number, items()):
            given += 1
            time.sleep(0.0005)
    assert given == 100
    assert most <= 6


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_the_first_error_ends_everything(error: BaseException) -> None:
    done: list[int] = []

    def work(number: int) -> int:
        time.sleep(0.001)
        if number == 5:
            raise error
        done.append(number)
        return number

    def interrupted() -> Iterator[int]:
        for number in range(1000):
            if number == 9 and isinstance(error, KeyboardInterrupt):
                raise error
            yield number

    seen: list[int] = []
    with pytest.raises(type(error)), Pool(2) as pool:
        seen.extend(pool.map(work, interrupted()))
    after = list(done)
    time.sleep(0.02)
    assert done == after, "something still runs"
    assert max(done) < 20


def test_an_error_in_the_items_waits_for_the_work() -> None:
    running = threading.Event()
    ended = threading.Event()

    def work(number: int) -> int:
        running.set()
        time.sleep(0.05)
        ended.set()
        return number

    def items() -> Iterator[int]:
        yield 1
        running.wait(5)
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="disk"), Pool(2) as pool:
        list(pool.map(work, items()))
    assert ended.is_set()


def test_a_consumer_that_stops_stops_the_rest() -> None:
    done: list[int] = []
    with Pool(2) as pool:
        for number in pool.map(lambda n: done.append(n) or n, range(1000)):  # type: ignore[func-returns-value]
            if number == 3:
                break
    assert len(done) < 20


def test_the_digest_alongside() -> None:
    parts = [noise(n * 1000, seed=n) for n in range(50)]
    digest = Digest()
    for part in parts:
        digest.update(part)
    assert digest.finish() == hashlib.sha256(b"".join(parts)).digest()
    nothing = Digest()
    assert nothing.finish() == hashlib.sha256(b"").digest()
    dropped = Digest()
    dropped.update(b"x")
    dropped.close()


def test_portions_are_in_order_and_bounded() -> None:
    assert list(portions([3, 4, 9, 1, 1, 1], int, 7)) == [[3, 4], [9], [1, 1, 1]]
    assert list(portions([1, 1, 1, 1, 1], int, 7, 2)) == [[1, 1], [1, 1], [1]]
    assert list(portions([], int, 7)) == []
