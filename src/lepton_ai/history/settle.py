"""After a save: delete the copies that it made needless, because it stored older blocks again as differences.

Nobody has to be asked what is still needed: a pack goes when every object in it can be read without it. Whoever reads
from it at this moment finds the other way; a save that is under way sees that the epoch moved and looks whether what it
relies on is still there; a backup holds a lease, and the pack waits for it.
"""

from __future__ import annotations

from collections.abc import Collection

from lepton_ai.errors import Busy, LeptonError
from lepton_ai.history import leases, states
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.refs.contract import History
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
        turn.begin()
    except Busy:  # the next save, or gc, does it
        return
    try:
        free(turn, history, store, superseded)
    finally:
        turn.end()


def free(turn: Turn, history: History, store: Store, superseded: Collection[bytes] | None) -> None:
    """The same for whoever has the turn."""
    spare = store.spare(superseded, avoid=turn.condemned())
    if spare.partly:
        store.compact(spare.partly, spare.lone)
    turn.condemn([*spare.whole, *spare.partly])
    alive = {ref.key for ref, _ in leases.living(history)}
    ready = {
        name: ref
        for name, ref in turn.condemned().items()
        if not alive.intersection(states.decode(states.Condemned, ref).waits)
    }
    going = store.independent(list(ready), avoid=turn.condemned())
    if going:
        turn.still()
        store.drop(going)
        turn.commit([states.clear(ready[name]) for name in going])
