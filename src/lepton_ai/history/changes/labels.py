"""Tags and aliases: names for one revision, fixed or movable."""

from __future__ import annotations

from typing import Literal

from msgspec.structs import replace

from lepton_ai.errors import AlreadyExists, NotFound
from lepton_ai.history import names, states
from lepton_ai.history.changes.attempt import Act, Result
from lepton_ai.history.lines import Found, Lines
from lepton_ai.history.refs.contract import Commit, Move, Ref

Kind = Literal["tag", "alias"]


def put(lines: Lines, kind: Kind, name: str, found: Found, act: Act) -> Result[None]:
    """Name the revision ``found``. A tag must be new; an alias may point elsewhere until now.

    Raises:
        AlreadyExists: there is a tag of this name, or another kind of thing.
        InvalidName: it cannot be called so.
    """
    names.check_ref_name(name, kind)
    key = f"{kind}/{name}"
    ref = lines.history.get([key]).get(key)
    checks = lines.free(kind, name) if ref is None else {}
    moves: list[Move] = []
    if ref is not None:
        old = states.decode(states.LabelState, ref)
        if kind == "tag":
            raise AlreadyExists(
                f"there is a tag {name!r} already",
                hint=f"delete it first, or use an alias: lepton alias {name} …",
            )
        if old.version == found.row.id.hex():
            return Result(None, None)
        before = lines.version(bytes.fromhex(old.version))
        if before.row.first != found.row.first:
            moves.append(pin(before, key, on=False))
    label = states.LabelState(found.row.id.hex(), act.at, act.actor, act.why)
    moves.append(states.set_(key, ref, label))
    if key in found.state.pins:
        checks[found.key] = found.ref.stamp
    else:
        moves.append(pin(found, key, on=True))
    return Result(Commit(act.actor, f"set {kind}", act.why, act.at, tuple(moves), checks), None)


def remove(lines: Lines, kind: Kind, name: str, act: Act) -> Result[None]:
    """Remove a tag or alias.

    Raises:
        NotFound: there is none of this name.
    """
    key = f"{kind}/{name}"
    ref = lines.history.get([key]).get(key)
    if ref is None:
        raise NotFound(f"there is no {kind} {name!r}", hint=f"lepton {kind} lists them")
    found = lines.version(bytes.fromhex(states.decode(states.LabelState, ref).version))
    moves = (states.clear(ref), pin(found, key, on=False))
    return Result(Commit(act.actor, f"remove {kind}", act.why, act.at, moves), None)


def target(ref: Ref) -> bytes:
    """The id of the revision that a tag's or alias's ref means."""
    return bytes.fromhex(states.decode(states.LabelState, ref).version)


def pin(found: Found, key: str, *, on: bool) -> Move:
    """Let ``key`` hold on to a version, so that it is not deleted, or let go."""
    pins = tuple(pin for pin in found.state.pins if pin != key)
    return Move(
        found.key,
        found.ref.stamp,
        states.encode(replace(found.state, pins=(*pins, key) if on else pins)),
        logged=False,
    )
