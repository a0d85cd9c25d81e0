"""Deleting packs while others save: told first, then waited, then looked at once more. For whoever has the turn.

Steps 3 to 5 of a collection (see :mod:`lepton_ai.history.collect`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable

from lepton_ai.history import leases, states
from lepton_ai.history.refs.contract import History
from lepton_ai.history.turns import Turn
from lepton_ai.store.store import Store

LEASE_WAIT = 60.0
"""Seconds for which operations that were running are waited for."""


def carry_out(
    turn: Turn,
    history: History,
    store: Store,
    packs: Iterable[str],
    unneeded: Callable[[set[str]], Collection[str]],
) -> tuple[str, ...]:
    """Condemn ``packs`` and delete what is condemned, as far as it is ``unneeded`` when nobody can come to rely on it.

    Gives those that have to wait for a later time, because an operation that began before still runs.

    Raises:
        Busy: another process took this one for dead.
    """
    turn.condemn(packs)
    condemned = turn.condemned()
    if not condemned:
        return ()
    waits = {name: set(states.decode(states.Condemned, ref).waits) for name, ref in condemned.items()}
    running = _wait_for(history, set().union(*waits.values()))
    ready = {name: ref for name, ref in condemned.items() if not waits[name] & running}
    turn.still()
    going = unneeded(set(ready))
    turn.still()
    store.drop(going)
    turn.commit([states.clear(ref) for ref in ready.values()])
    return tuple(sorted(set(condemned) - set(ready)))


def _wait_for(history: History, keys: set[str]) -> set[str]:
    """Wait for these leases to end; those that did not."""
    deadline = time.monotonic() + LEASE_WAIT
    while True:
        left = keys & {ref.key for ref, _ in leases.living(history)}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.05)
