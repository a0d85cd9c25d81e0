"""Deleting packs is for one process at a time; and how it tells everybody before it does."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from msgspec.structs import replace

from lepton_ai.errors import Busy, LostRace
from lepton_ai.history import leases, states
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move, Ref
from lepton_ai.history.writing import EPOCH

T = TypeVar("T")
RUNNING = "gc/running"
COLLECT, SETTLE, REPACK = "gc", "settle", "repack"
"""What a turn is for. To settle takes a moment only."""


class InAMoment(Busy):
    """A save that settles has the turn, or was faster: it is worth waiting."""


def patiently(seconds: float, work: Callable[[], T]) -> T:
    """Do ``work``, again and again while saves that settle are in the way, but for some seconds only.

    Raises:
        Busy: they still are; or somebody collects garbage.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return work()
        except InAMoment:
            if time.monotonic() > deadline:
                raise
        time.sleep(random.uniform(0.001, 0.02))  # noqa: S311  (spreads retries, keeps no secret)


class Turn:
    """The right to condemn and delete packs, held by one process at a time."""

    def __init__(self, history: History, act: Act, what: str = COLLECT) -> None:
        self._history, self._act, self._what = history, act, what
        self._stamp = ABSENT
        self._beaten = time.monotonic()

    def check(self) -> Ref | None:
        """What a dead process left of the turn, None when it is free.

        Raises:
            Busy: another process has it.
        """
        ref = self._history.get([RUNNING]).get(RUNNING)
        if ref is not None:
            other = states.decode(states.LeaseState, ref)
            if leases.is_alive(other):
                kind = InAMoment if other.what == SETTLE else Busy
                work = "repacking" if other.what == REPACK else "collecting garbage"
                raise kind(f"{told(other)} is {work} already", hint="repeat when it is done")
        return ref

    def epoch(self) -> Ref | None:
        """How often packs were condemned."""
        return self._history.get([EPOCH]).get(EPOCH)

    def begin(self) -> None:
        """Take the turn.

        Raises:
            Busy: another process has it.
        """
        self._begin(self.check(), [])

    def begin_with(self, packs: Iterable[str], epoch: Ref | None) -> None:
        """Take the turn and condemn ``packs`` in one commit, if nothing was condemned since ``epoch`` was read.

        Raises:
            Busy: another process has the turn, or had it since.
        """
        self._begin(self.check(), self._sentence(packs, epoch))

    def _begin(self, ref: Ref | None, moves: list[Move]) -> None:
        try:
            self.commit(
                [replace(states.set_(RUNNING, ref, leases.present(self._what)), logged=False), *moves]
            )
        except Busy as busy:
            raise InAMoment(busy.message, hint=busy.hint) from busy
        self._stamp = self._history.get([RUNNING])[RUNNING].stamp

    def beat(self) -> None:
        """Give a sign of life, at most once a minute; call it as often as convenient.

        Raises:
            Busy: another process took this one for dead.
        """
        if time.monotonic() - self._beaten > leases.BEAT:
            self._beaten = time.monotonic()
            self.still()

    def still(self) -> None:
        """Go on, or not at all.

        Raises:
            Busy: another process took this one for dead.
        """
        self.commit([Move(RUNNING, self._stamp, states.encode(leases.present(self._what)), logged=False)])
        self._stamp = self._history.get([RUNNING])[RUNNING].stamp

    def has(self) -> bool:
        """Whether it is still ours."""
        ref = self._history.get([RUNNING]).get(RUNNING)
        return ref is not None and ref.stamp == self._stamp

    def end(self, moves: Iterable[Move] = ()) -> None:
        """Give the turn away, in one commit with ``moves``."""
        ref = self._history.get([RUNNING]).get(RUNNING)
        if ref is not None and ref.stamp == self._stamp:
            self.commit([replace(states.clear(ref), logged=False), *moves])

    def condemned(self) -> dict[str, Ref]:
        """The packs that are condemned already."""
        return {ref.key.removeprefix("condemned/"): ref for ref in self._history.scan("condemned/")}

    def condemn(self, packs: Iterable[str]) -> None:
        """Tell everybody that these packs go; whoever commits from now on sees that the epoch moved."""
        self.commit(self._sentence(packs, self.epoch()))

    def _sentence(self, packs: Iterable[str], epoch: Ref | None) -> list[Move]:
        present = self.condemned()
        state = states.Condemned(now(), tuple(ref.key for ref, _ in leases.living(self._history)))
        moves = [
            Move(f"condemned/{name}", ABSENT, states.encode(state), logged=False)
            for name in packs
            if name not in present
        ]
        if moves:
            number = states.decode(states.Epoch, epoch).number if epoch else 0
            moves.append(replace(states.set_(EPOCH, epoch, states.Epoch(number + 1)), logged=False))
        return moves

    def commit(self, moves: list[Move]) -> None:
        """Make these moves.

        Raises:
            Busy: another process deletes packs at the same time.
        """
        if not moves:
            return
        try:
            act = REPACK if self._what == REPACK else COLLECT
            self._history.commit(Commit(self._act.actor, act, self._act.why, now(), tuple(moves)))
        except LostRace as lost:
            raise Busy(
                "another collection or repack runs at the same time", hint="repeat when it is done"
            ) from lost


def told(state: states.LeaseState) -> str:
    """Who holds something, for people."""
    return f"process {state.pid} ({state.what}, user {state.user}) on {state.host}"
