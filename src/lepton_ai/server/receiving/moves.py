"""The movable values of a commit: kinds that are known, values that decode, and nothing that points at nothing."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from lepton_ai.decodable import ready
from lepton_ai.errors import Forbidden, InvalidName, UsageError
from lepton_ai.history import states
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.names import check_ref_name
from lepton_ai.history.refs.contract import Move, Ref, VersionRow
from lepton_ai.history.writing import EPOCH
from lepton_ai.server.receiving.rows import Rows, is_digest, is_moment

KINDS: Mapping[str, type[msgspec.Struct]] = {
    "branch": states.BranchState,
    "line": states.LineState,
    "version": states.VersionState,
    "tag": states.LabelState,
    "alias": states.LabelState,
    "off": states.LineState,
    "lease": states.LeaseState,
    "condemned": states.Condemned,
    "gone": states.BranchState,
    "merge": states.MergeState,
}
"""What stands before the first ``/`` of a key, and the value behind it."""
COLLECTING: Mapping[str, type[msgspec.Struct]] = {EPOCH: states.Epoch, "gc/running": states.LeaseState}
HIGHEST = 10**12
"""To which number the names of a branch's versions may have counted."""
LASTING = ("branch", "version", "tag", "alias", "merge")
"""Whatever changes these is in the log, whether the sender says so or not."""


class Sender(msgspec.Struct, frozen=True):
    """Who sends a commit. ``keeps_house``: may condemn packs and end what others left running."""

    name: str
    keeps_house: bool = False


def check_key(key: str, sender: Sender) -> type[msgspec.Struct]:
    """The kind of value behind a key.

    Raises:
        UsageError: no kind that a repository has, or no name that it can have.
        Forbidden: it is for those who keep house.
    """
    kind, _, rest = key.partition("/")
    if key in COLLECTING or kind == "condemned":
        if not sender.keeps_house:
            raise Forbidden(
                "only an administrator may free packs of this server", hint="ask one to run lepton gc"
            )
        if key in COLLECTING:
            return COLLECTING[key]
    if kind not in KINDS or not _NAMED[kind](rest):
        raise UsageError(f"{key!r} is no key of a repository")
    return KINDS[kind]


def check_checks(checks: Mapping[str, int]) -> None:
    """What a commit is computed from are keys of a repository."""
    for key in checks:
        kind, _, rest = key.partition("/")
        if key not in COLLECTING and not (kind in KINDS and _NAMED[kind](rest)):
            raise UsageError(f"{key!r} is no key of a repository")


def check_moves(
    moves: Iterable[Move], there: Mapping[str, Ref], rows: Rows, sender: Sender
) -> tuple[Move, ...]:
    """The moves as they are to be applied: leases in the server's time, what counts is logged.

    Raises:
        UsageError: a value does not decode, or points at a version that is not there.
        Forbidden: it is another's lease, or for those who keep house.
    """
    return tuple(_checked(move, there.get(move.key), rows, sender) for move in moves)


def _checked(move: Move, there: Ref | None, rows: Rows, sender: Sender) -> Move:
    kind = check_key(move.key, sender)
    if kind is states.LeaseState:
        return _lease(move, there, sender)
    if move.value is None:
        if move.key.startswith("version/"):
            raise UsageError(f"{move.key!r} stays: a version is kept for ever, deleted or not")
    else:
        state = decoded(move, kind)
        check_times(move.key, msgspec.to_builtins(state))
        if isinstance(state, states.BranchState) and not _hexadecimal(state.uid):
            raise UsageError(f"the value of {move.key!r} has no identity of a branch")
        if isinstance(state, states.BranchState | states.VersionState) and not 0 <= state.high <= HIGHEST:
            raise UsageError(f"the value of {move.key!r} counts to {state.high}, which nobody has")
        for what, id_ in pointed_at(move.key, state):
            rows.row(_raw(move.key, id_), f"{what} of {move.key!r}")
        if isinstance(state, states.VersionState):
            check_version_state(move.key, state, rows)
        if move.key.startswith("off/"):
            rows.row(bytes.fromhex(move.key.rpartition("/")[2]), f"what {move.key!r} names")
    return replace(move, logged=move.logged or must_be_logged(move, there))


def decoded(move: Move, kind: type[msgspec.Struct]) -> msgspec.Struct:
    """The value of a move.

    Raises:
        UsageError: it has another form.
    """
    try:
        return msgspec.json.decode(move.value or b"", type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise UsageError(f"the value of {move.key!r} cannot be read: {problem}") from problem


def check_times(key: str, value: Any) -> None:
    """Every moment in a value is one that can be told: whoever lists it would fall over it.

    Raises:
        UsageError.
    """
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in pairs:
        if isinstance(inner, int) and (name == "at" or str(name).endswith("_at")) and not is_moment(inner):
            raise UsageError(f"the value of {key!r} has a moment that cannot be: {inner}")
        check_times(key, inner)


def pointed_at(key: str, state: msgspec.Struct) -> list[tuple[str, str]]:
    """Every version that the value of ``key`` points at, with a word for it.

    Raises:
        UsageError: it is a merge, and was not asked for as merges are.
    """
    match state:
        case states.BranchState(head=head, base=base):
            return [(what, id_) for what, id_ in (("the head", head), ("the base", base)) if id_ is not None]
        case states.LabelState(version=version):
            return [("the version", version)]
        case states.VersionState(newest=newest):
            return [("the newest revision", newest)]
        case states.MergeState():
            try:
                asked = msgspec.convert(state.request, ready(Request))
            except msgspec.ValidationError as problem:
                raise UsageError(f"what {key!r} asks for cannot be read: {problem}") from problem
            aids = [id_ for ids in asked.aids.values() for id_ in ids]
            return [("a side", id_) for id_ in (state.ours, *state.theirs, *state.bases, *aids)]
    return []


def check_version_state(key: str, state: states.VersionState, rows: Rows) -> None:
    """Its newest revision is one of this version, and as many as it counts."""
    newest = rows.row(_raw(key, state.newest), f"the newest revision of {key!r}")
    if newest.first.hex() != key.removeprefix("version/") or newest.revision != state.revisions:
        raise UsageError(f"the newest revision of {key!r} is not its revision {state.revisions}")


def check_states_come(
    versions: Iterable[VersionRow], moves: Iterable[Move], there: Callable[[list[str]], Mapping[str, Ref]]
) -> None:
    """Every new version has its state: without it nobody could list it."""
    coming = {move.key for move in moves if move.value is not None}
    missing = {f"version/{row.first.hex()}" for row in versions} - coming
    lost = missing - there(sorted(missing)).keys() if missing else set()
    if lost:
        raise UsageError(f"a version comes without its state {min(lost)!r}")


def must_be_logged(move: Move, there: Ref | None) -> bool:
    """Whether a move counts: it changes what people rely on, and not only which names hold on to a version."""
    if not move.key.startswith(tuple(f"{kind}/" for kind in LASTING)):
        return False
    before = there.value if there else None
    if before == move.value:
        return False
    if move.key.startswith("version/") and before and move.value:
        known = ready(states.VersionState)
        was, is_ = (msgspec.json.decode(value, type=known) for value in (before, move.value))
        return replace(was, pins=()) != replace(is_, pins=())
    return True


def brought(moves: Iterable[Move]) -> set[bytes]:
    """SHA-256 of what resolutions of merges bring along."""
    found: set[bytes] = set()
    for move in moves:
        if move.key.startswith("merge/") and move.value is not None:
            state = decoded(move, states.MergeState)
            given = [one.given for one in getattr(state, "resolutions", ()) if one.given is not None]
            found |= {_raw(move.key, attachment.sha256) for attachment in given}
    return found


def _lease(move: Move, there: Ref | None, sender: Sender) -> Move:
    """A lease is its owner's, and tells the server's time: a client's clock and processes mean nothing here."""
    now = time.time_ns() // 1000
    old = states.decode(states.LeaseState, there) if there is not None else None
    if old is not None and old.user != sender.name and not sender.keeps_house:
        raise Forbidden(f"the lease {move.key!r} is {old.user}'s", hint="end your own")
    if move.value is None:
        return move
    new = decoded(move, states.LeaseState)
    assert isinstance(new, states.LeaseState)  # noqa: S101  (decoded as one)
    began = old.started_at if old is not None and move.key.startswith("lease/") else now
    told = states.LeaseState(
        new.what[:200], f"{new.host[:200]} (client)", 0, sender.name, began, now, place="client"
    )
    return replace(move, value=states.encode(told), logged=False)


def _raw(key: str, id_: str) -> bytes:
    if not is_digest(id_):
        raise UsageError(f"the value of {key!r} names {id_[:80]!r}, which is no id")
    return bytes.fromhex(id_)


def _ref(what: str) -> Callable[[str], bool]:
    def fits(name: str) -> bool:
        try:
            check_ref_name(name, what)
        except InvalidName:
            return False
        return True

    return fits


def _hexadecimal(text: str) -> bool:
    return 0 < len(text) <= 64 and set(text) <= set("0123456789abcdef")


def _off(rest: str) -> bool:
    uid, _, id_ = rest.partition("/")
    return _hexadecimal(uid) and is_digest(id_)


def _gone(rest: str) -> bool:
    name, _, uid = rest.rpartition("/")
    return _NAMED["branch"](name) and _hexadecimal(uid)


_NAMED: Mapping[str, Callable[[str], bool]] = {
    "branch": _ref("branch"),
    "line": _hexadecimal,
    "version": is_digest,
    "tag": _ref("tag"),
    "alias": _ref("alias"),
    "off": _off,
    "lease": _hexadecimal,
    "condemned": is_digest,
    "gone": _gone,
    "merge": _ref("branch"),
}
"""Whether what follows the kind can be a name of it."""
