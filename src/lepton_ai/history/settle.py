"""After a save: delete the copies that it made needless, because it stored older blocks again as differences.

Nobody has to be asked what is still needed: a pack goes when every object in it can be read without it. Whoever reads
from it at this moment finds the other way; a save that is under way sees that the epoch moved and looks whether what it
relies on is still there; a backup holds a lease, and the pack waits for it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from msgspec.structs import replace

from lepton_ai.errors import Busy, LeptonError
from lepton_ai.history import leases, states
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.refs.contract import History, Move
from lepton_ai.history.turns import SETTLE, Turn, patiently
from lepton_ai.store.live import Spare
from lepton_ai.store.store import Store

PATIENCE = 5.0
"""Seconds for which a save waits while others settle, before it leaves it to gc."""


def settled(
    history: History, store: Store, superseded: Collection[bytes], written: Collection[str]
) -> tuple[int, list[str]]:
    """Settle after a save: the bytes freed, and a note when it could not be done.

    That is no reason to call the save a failure.
    """
    try:
        return settle(history, store, Act(leases.user_name(), now()), superseded, written), []
    except LeptonError as problem:
        return 0, [f"what is stored twice now could not be freed ({problem.message}): lepton gc does it"]


def settle(
    history: History, store: Store, act: Act, superseded: Collection[bytes], written: Collection[str] = ()
) -> int:
    """Free what ``superseded`` objects take twice, unless somebody collects garbage just now; the bytes freed.

    ``written``: the packs of this save, which decoded what it put into them.

    Raises:
        StorageFailed, NoSpace, Damaged: what stays is whole in any case.
    """
    if not superseded:
        return 0
    turn = Turn(history, act, SETTLE)
    try:
        sentence = patiently(PATIENCE, lambda: _begin(turn, store, superseded))
    except Busy:  # then gc does it, this one or the next
        return 0
    if not sentence.packs:
        return 0
    done: list[Move] = []
    try:
        before = store.size_of(sentence.packs)
        done, gone = _drop(turn, history, store, sentence, {*written, *sentence.copies})
        left = store.size_of(set(sentence.packs) - set(gone))
    finally:
        turn.end(done)
    return before - left - store.size_of(sentence.copies)


class _Sentence(NamedTuple):
    """Packs that are to go, and the packs into which what would go with them was copied."""

    packs: tuple[str, ...]
    copies: tuple[str, ...] = ()


def _begin(turn: Turn, store: Store, superseded: Collection[bytes]) -> _Sentence:
    """Take the turn and condemn what can go."""
    turn.check()
    epoch = turn.epoch()  # before anything is looked at: whoever condemns a pack meanwhile moves it
    spare = store.spare(superseded, avoid=turn.condemned())
    if spare.partly:  # copying is for whoever has the turn: another could do the same
        turn.begin()
        try:
            if turn.epoch() != epoch:  # what was to be spared may be gone
                spare = store.spare(superseded, avoid=turn.condemned())
            sentence = _copied(store, spare)
            turn.condemn(sentence.packs)
        except BaseException:
            turn.end()
            raise
        return sentence
    if spare.whole:
        turn.begin_with(spare.whole, epoch)
    return _Sentence(spare.whole)


def free(
    turn: Turn,
    history: History,
    store: Store,
    superseded: Collection[bytes] | None,
    avoid: Collection[str] = (),
) -> list[str]:
    """The same for whoever has the turn; None: all that is stored twice. Names the packs that were deleted.

    Nothing counts as stored otherwise that only the packs ``avoid`` hold; everything else is read before it counts.
    """
    sentence = _copied(store, store.spare(superseded, avoid={*avoid, *turn.condemned()}))
    turn.condemn(sentence.packs)
    done, going = _drop(turn, history, store, sentence, sentence.copies, avoid)
    turn.commit(done)
    return going


def _copied(store: Store, spare: Spare) -> _Sentence:
    """Packs that can go; what would go with them is copied."""
    copies = store.compact(spare.partly, spare.lone, avoid=spare.whole) if spare.partly else ()
    return _Sentence((*spare.whole, *spare.partly), copies)


def _drop(
    turn: Turn,
    history: History,
    store: Store,
    sentence: _Sentence,
    trusted: Collection[str],
    avoid: Collection[str] = (),
) -> tuple[list[Move], list[str]]:
    """Delete the condemned packs that nobody waits for and nothing needs.

    Gives the moves that take them off the list, and those of the sentence that turn out to be needed; and their names.
    """
    alive = {ref.key for ref, _ in leases.living(history)}
    condemned = turn.condemned()
    ready = {
        name: ref
        for name, ref in condemned.items()
        if not alive.intersection(states.decode(states.Condemned, ref).waits)
    }
    going = store.independent(list(ready), avoid={*avoid, *condemned}, trusted=trusted)
    if not turn.has():
        return [], []
    store.drop(going)
    off = [name for name in ready if name in going or name in sentence.packs]
    return [replace(states.clear(ready[name]), logged=False) for name in off], going
