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
from lepton_ai.history.turns import Turn
from lepton_ai.store.store import Store


def settled(history: History, store: Store, superseded: Collection[bytes]) -> list[str]:
    """Settle after a save, and tell when it could not be done: that is no reason to call the save a failure."""
    try:
        settle(history, store, Act(leases.user_name(), now()), superseded)
    except LeptonError as problem:
        return [f"what is stored twice now could not be freed ({problem.message}): lepton gc does it"]
    return []


def settle(history: History, store: Store, act: Act, superseded: Collection[bytes] | None) -> None:
    """Free what ``superseded`` objects (None: all of them) take twice, unless somebody else deletes packs just now.

    Raises:
        StorageFailed, NoSpace, Damaged: what stays is whole in any case.
    """
    if superseded is not None and not superseded:
        return
    turn = Turn(history, act)
    try:
        turn.check()
        epoch = turn.epoch()  # before anything is looked at: whoever condemns a pack meanwhile moves it
        packs = _spare(turn, store, superseded)
        if not packs:
            return
        turn.begin_with(packs, epoch)
    except Busy:  # the next save, or gc, does it
        return
    done: list[Move] = []
    try:
        done = _free(turn, history, store)
    finally:
        turn.end(done)


def free(turn: Turn, history: History, store: Store, superseded: Collection[bytes] | None) -> None:
    """The same for whoever has the turn."""
    turn.condemn(_spare(turn, store, superseded))
    turn.commit(_free(turn, history, store))


def _spare(turn: Turn, store: Store, superseded: Collection[bytes] | None) -> list[str]:
    """Packs that can go; what would go with them is copied."""
    spare = store.spare(superseded, avoid=turn.condemned())
    if spare.partly:
        store.compact(spare.partly, spare.lone)
    return [*spare.whole, *spare.partly]


def _free(turn: Turn, history: History, store: Store) -> list[Move]:
    """Delete the condemned packs that nobody waits for and nothing needs; the moves that take them off the list."""
    alive = {ref.key for ref, _ in leases.living(history)}
    condemned = turn.condemned()
    ready = {
        name: ref
        for name, ref in condemned.items()
        if not alive.intersection(states.decode(states.Condemned, ref).waits)
    }
    going = store.independent(list(ready), avoid=condemned)
    if not going or not turn.has():
        return []
    store.drop(going)
    return [replace(states.clear(ready[name]), logged=False) for name in going]
