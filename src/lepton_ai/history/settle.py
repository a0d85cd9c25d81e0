"""After a save: delete the copies that it made needless, because it stored older blocks again as differences.

Nobody has to be asked what is still needed: a pack goes when every object in it can be read without it. Whoever reads
from it at this moment finds the other way; a save that is under way sees that the epoch moved and looks whether what it
relies on is still there; a backup holds a lease, and the pack waits for it.
"""

from __future__ import annotations

from collections.abc import Collection

from msgspec.structs import replace

from lepton_ai.errors import Busy, LeptonError
from lepton_ai.history import leases, states
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.refs.contract import History, Move
from lepton_ai.history.turns import SETTLE, Turn, patiently
from lepton_ai.store.store import Store

PATIENCE = 5.0
"""Seconds for which a save waits while others settle, before it leaves it to gc."""


def settled(history: History, store: Store, superseded: Collection[bytes]) -> list[str]:
    """Settle after a save, and tell when it could not be done: that is no reason to call the save a failure."""
    try:
        settle(history, store, Act(leases.user_name(), now()), superseded)
    except LeptonError as problem:
        return [f"what is stored twice now could not be freed ({problem.message}): lepton gc does it"]
    return []


def settle(history: History, store: Store, act: Act, superseded: Collection[bytes]) -> None:
    """Free what ``superseded`` objects take twice, unless somebody collects garbage just now.

    Raises:
        StorageFailed, NoSpace, Damaged: what stays is whole in any case.
    """
    if not superseded:
        return
    turn = Turn(history, act, SETTLE)
    try:
        if not patiently(PATIENCE, lambda: _begin(turn, store, superseded)):
            return
    except Busy:  # then gc does it, this one or the next
        return
    done: list[Move] = []
    try:
        done = _drop(turn, history, store)
    finally:
        turn.end(done)


def _begin(turn: Turn, store: Store, superseded: Collection[bytes]) -> bool:
    """Take the turn and condemn what can go; False when there is nothing."""
    turn.check()
    epoch = turn.epoch()  # before anything is looked at: whoever condemns a pack meanwhile moves it
    spare = store.spare(superseded, avoid=turn.condemned())
    if spare.partly:  # copying is for whoever has the turn: another could do the same
        turn.begin()
        try:
            turn.condemn(_spare(turn, store, superseded))
        except BaseException:
            turn.end()
            raise
    elif spare.whole:
        turn.begin_with(spare.whole, epoch)
    return bool(spare.whole or spare.partly)


def free(
    turn: Turn,
    history: History,
    store: Store,
    superseded: Collection[bytes] | None,
    avoid: Collection[str] = (),
) -> list[str]:
    """The same for whoever has the turn; None: all that is stored twice. Names the packs that were deleted.

    Nothing counts as stored otherwise that only the packs ``avoid`` hold.
    """
    turn.condemn(_spare(turn, store, superseded, avoid))
    done = _drop(turn, history, store, avoid)
    turn.commit(done)
    return [move.key.removeprefix("condemned/") for move in done]


def _spare(
    turn: Turn, store: Store, superseded: Collection[bytes] | None, avoid: Collection[str] = ()
) -> list[str]:
    """Packs that can go; what would go with them is copied."""
    spare = store.spare(superseded, avoid={*avoid, *turn.condemned()})
    if spare.partly:
        store.compact(spare.partly, spare.lone, avoid=spare.whole)
    return [*spare.whole, *spare.partly]


def _drop(turn: Turn, history: History, store: Store, avoid: Collection[str] = ()) -> list[Move]:
    """Delete the condemned packs that nobody waits for and nothing needs; the moves that take them off the list."""
    alive = {ref.key for ref, _ in leases.living(history)}
    condemned = turn.condemned()
    ready = {
        name: ref
        for name, ref in condemned.items()
        if not alive.intersection(states.decode(states.Condemned, ref).waits)
    }
    going = store.independent(list(ready), avoid={*avoid, *condemned})
    if not going or not turn.has():
        return []
    store.drop(going)
    return [replace(states.clear(ready[name]), logged=False) for name in going]
