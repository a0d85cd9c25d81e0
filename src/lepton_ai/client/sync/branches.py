"""How a branch stands at both ends, and the moves that bring one end's to the other's newest version."""

from __future__ import annotations

import secrets
from collections.abc import Collection
from typing import Literal

from msgspec.structs import replace

from lepton_ai.client.sync.ends import End
from lepton_ai.history import graph, states
from lepton_ai.history.lines import Branch
from lepton_ai.history.refs.contract import ABSENT, Move, Ref
from lepton_ai.history.states import BranchState, LineState

Standing = Literal["same", "ahead", "holds", "behind", "held", "apart"]
"""How one end's branch stands to the other's.

ahead: it goes on from the other's newest version. holds: it has that by a merge, beside its own line. behind, held: the
same, seen from the other end. apart: each has versions that the other lacks. Versions count, not their revisions.
"""


def standing(end: End, head: bytes, other: End, theirs: bytes) -> Standing:
    """How ``head`` at one end stands to the head ``theirs`` at the other."""
    if head == theirs:
        return "same"
    if theirs in end.history.versions([theirs]):
        found = _over(end, head, theirs)
        if found is not None:
            return found
    if head in other.history.versions([head]):
        found = _over(other, theirs, head)
        if found is not None:
            return "behind" if found in ("ahead", "same") else "held" if found == "holds" else "ahead"
    return _by_versions(end, head, other, theirs)


def _by_versions(end: End, head: bytes, other: End, theirs: bytes) -> Standing:
    """The same where neither end knows the other's revision: a version is the same in all of them."""
    own, its = graph.row(end.history, head).first, graph.row(other.history, theirs).first
    if own == its:
        return "same"  # updated at both ends
    if its in end.history.versions([its]):
        return _over(end, head, its) or "apart"
    if own in other.history.versions([own]):
        found = _over(other, theirs, own)
        return {"ahead": "behind", "holds": "held"}.get(found or "", "apart")  # type: ignore[return-value]
    return "apart"


def _over(end: End, upper: bytes, lower: bytes) -> Standing | None:
    """How ``upper`` stands to ``lower``, where one end knows both; None: it does not come from it."""
    top, bottom = (graph.row(end.history, id_) for id_ in (upper, lower))
    if top.first == bottom.first:
        return "ahead" if top.revision > bottom.revision else "behind"
    on_line = graph.ancestor_at(end.history, top, bottom.depth)
    if on_line is not None and on_line.first == bottom.first:
        return "ahead"
    return "holds" if graph.has_version(end.history, upper, lower) else None


def moved(
    source: Branch, target: End, name: str, coming: Collection[bytes], ref: Ref | None
) -> tuple[list[Move], dict[str, int]]:
    """Moves that let the branch ``name`` of ``target`` stand where ``source`` stands, and what must hold for them.

    ``coming``: the versions that come along. ``ref``: the branch there as it was judged: read anew it could be one that
    somebody moved since, and their versions would be lost. A branch that is new there, or has no version yet, becomes
    the same line.
    """
    key = f"branch/{name}"
    there = states.decode(BranchState, ref) if ref is not None else None
    checks: dict[str, int] = {}
    moves: list[Move] = []
    uid = there.uid if there is not None and there.head is not None else _uid(source, target, name, moves)
    base = source.state.base
    if base is not None and bytes.fromhex(base) not in coming:
        base = base if target.known([bytes.fromhex(base)]) else None
    if there is None:
        checks |= target.lines.free("branch", name)
        fresh = replace(source.state, uid=uid, base=base, deleted=None)
    else:
        high = max(there.high, source.state.high)
        fresh = replace(there, uid=uid, head=source.state.head, high=high)
    moves.append(states.set_(key, ref, fresh))
    return moves, checks


def _uid(source: Branch, target: End, name: str, moves: list[Move]) -> str:
    """The lasting identity that a branch gets there: its own, unless another branch has that there."""
    key = f"line/{source.state.uid}"
    there = target.history.get([key]).get(key)
    uid = source.state.uid
    if there is not None and states.decode(LineState, there).name != name:
        uid = secrets.token_hex(8)
        there = None
    if there is None:
        moves.append(Move(f"line/{uid}", ABSENT, states.encode(LineState(name)), logged=False))
    return uid


def lines_of(source: End, target: End, uids: Collection[str]) -> list[Move]:
    """Moves that tell ``target`` how the lines are called on which versions were made, where it does not know."""
    keys = [f"line/{uid}" for uid in sorted(uids)]
    ours, theirs = source.history.get(keys), target.history.get(keys)
    return [Move(key, ABSENT, ref.value, logged=False) for key, ref in ours.items() if key not in theirs]


def merged(moves: list[Move], more: list[Move]) -> list[Move]:
    """Both; of two moves of one key the later one counts."""
    return list({move.key: move for move in (*moves, *more)}.values())
