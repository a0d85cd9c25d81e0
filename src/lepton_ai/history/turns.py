"""Deleting packs is for one process at a time; and how it tells everybody before it does."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from lepton_ai.errors import Busy, LostRace
from lepton_ai.history import leases, states
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move, Ref
from lepton_ai.history.writing import EPOCH

RUNNING = "gc/running"


class Turn:
    """The right to condemn and delete packs, held by one process at a time."""

    def __init__(self, history: History, act: Act) -> None:
        self._history, self._act = history, act
        self._stamp = ABSENT

    def begin(self) -> None:
        """Take the turn.

        Raises:
            Busy: another process has it.
        """
        ref = self._history.get([RUNNING]).get(RUNNING)
        if ref is not None:
            other = states.decode(states.LeaseState, ref)
            if leases.is_alive(other):
                raise Busy(f"{told(other)} is collecting garbage already", hint="repeat when it is done")
        self.commit([replace(states.set_(RUNNING, ref, leases.present("gc")), logged=False)])
        self._stamp = self._history.get([RUNNING])[RUNNING].stamp

    def still(self) -> None:
        """Go on, or not at all.

        Raises:
            Busy: another process took this one for dead.
        """
        self.commit([Move(RUNNING, self._stamp, states.encode(leases.present("gc")), logged=False)])
        self._stamp = self._history.get([RUNNING])[RUNNING].stamp

    def end(self) -> None:
        """Give the turn away."""
        ref = self._history.get([RUNNING]).get(RUNNING)
        if ref is not None and ref.stamp == self._stamp:
            self.commit([replace(states.clear(ref), logged=False)])

    def condemned(self) -> dict[str, Ref]:
        """The packs that are condemned already."""
        return {ref.key.removeprefix("condemned/"): ref for ref in self._history.scan("condemned/")}

    def condemn(self, packs: Iterable[str]) -> None:
        """Tell everybody that these packs go; whoever commits from now on sees that the epoch moved."""
        present = self.condemned()
        state = states.Condemned(now(), tuple(ref.key for ref, _ in leases.living(self._history)))
        moves = [
            Move(f"condemned/{name}", ABSENT, states.encode(state), logged=False)
            for name in packs
            if name not in present
        ]
        if not moves:
            return
        ref = self._history.get([EPOCH]).get(EPOCH)
        number = states.decode(states.Epoch, ref).number if ref else 0
        moves.append(replace(states.set_(EPOCH, ref, states.Epoch(number + 1)), logged=False))
        self.commit(moves)

    def commit(self, moves: list[Move]) -> None:
        """Make these moves.

        Raises:
            Busy: another process deletes packs at the same time.
        """
        if not moves:
            return
        try:
            self._history.commit(Commit(self._act.actor, "gc", self._act.why, now(), tuple(moves)))
        except LostRace as lost:
            raise Busy("another collection runs at the same time", hint="repeat when it is done") from lost


def told(state: states.LeaseState) -> str:
    """Who holds something, for people."""
    return f"process {state.pid} ({state.what}, user {state.user}) on {state.host}"
