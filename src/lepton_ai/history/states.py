"""The small values behind refs, and the keys they live under.

branch/NAME     BranchState     the line's head and what it needs to number versions
line/UID        LineState       a branch's lasting identity → its present name
version/ID      VersionState    a version in all its revisions, by the id of the first
tag/NAME        LabelState      a fixed name for one revision
alias/NAME      LabelState      a movable one; its history is the log
off/UID/ID      LineState       a version that its branch stepped back behind (deleted as the newest)
lease/UUID      LeaseState      a save (or backup) that is running
condemned/PACK  Condemned       a pack that gc is about to delete
gc/epoch        Epoch           grows whenever packs are condemned
gc/running      LeaseState      the one collection or repack that is running
gone/NAME/UID   BranchState     a deleted branch whose name another one has taken
merge/NAME      MergeState      a merge into branch NAME that waits for people to decide
pulling/NAME    PullState       a pull that brings both sides of branch NAME together
remote/NAME     RemoteState     another place of the same repository
remote/NAME/branch/X, …/tag/X, …/alias/X   what X was there when it was last seen
"""

from __future__ import annotations

from typing import Any, Literal, TypeVar

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import TooNew
from lepton_ai.history.refs.contract import ABSENT, Move, Ref
from lepton_ai.types import Attachment

T = TypeVar("T", bound=msgspec.Struct)


class Gone(msgspec.Struct, frozen=True):
    """A tombstone: when (microseconds since 1970), who, why. ``branch``: it went together with that branch."""

    at: int
    by: str
    why: str = ""
    branch: str | None = None


class BranchState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A branch. ``head``: a revision's id or None (nothing saved yet); ``high``: the highest vN ever used."""

    uid: str
    head: str | None = None
    high: int = 0
    created_at: int = 0
    created_by: str = ""
    base: str | None = None
    deleted: Gone | None = None


class LineState(msgspec.Struct, frozen=True):
    """Where a branch's lasting identity is found today."""

    name: str


class VersionState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version in all its revisions. ``pins`` are the keys of tags and aliases (and holds) on any of them.

    ``high`` is the highest vN used on its branch when it was made: where a branch from here goes on counting.
    """

    newest: str
    revisions: int = 1
    updated_at: int = 0
    high: int = 0
    deleted: Gone | None = None
    purged_at: int | None = None
    pins: tuple[str, ...] = ()


class LabelState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A tag or alias: the revision's id, when, who, and a message."""

    version: str
    at: int
    by: str
    message: str = ""


class LeaseState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A running operation that gc must wait for. Times in microseconds since 1970.

    ``place`` is where ``pid`` means something (this start of the machine, this namespace of processes), ``born`` tells
    the process from a later one with the same number; both are empty where the system does not say.
    """

    what: str
    host: str
    pid: int
    user: str
    started_at: int
    beat_at: int
    place: str = ""
    born: str = ""


class Condemned(msgspec.Struct, frozen=True):
    """A pack that nothing needs; deleted once the leases ``waits`` (their keys) have ended."""

    at: int
    waits: tuple[str, ...] = ()


class Epoch(msgspec.Struct, frozen=True):
    """Counts the rounds of condemning."""

    number: int


class Conflict(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a merge could not decide, and ``why`` in words: a tensor (by its address), a file (by its path), or the
    ``meaning`` of what tensors hold: words that have one number here and another there.
    """

    kind: Literal["tensor", "file", "meaning"]
    name: str
    why: str = ""


class Resolution(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody decided for ``target``, a conflict's name or a glob over such names: who, when and why.

    ``how``: a side, a ``method`` with ``parameters``, or ``given`` content (of the file called ``file``).
    ``results`` are what candidates scored, where an evaluation chose.
    """

    target: str
    how: Literal["ours", "theirs", "base", "method", "file"]
    by: str
    at: int
    why: str = ""
    method: str = ""
    parameters: dict[str, Any] = {}
    file: str = ""
    given: Attachment | None = None
    results: dict[str, float | str] = {}


class MergeState(msgspec.Struct, frozen=True, omit_defaults=True):
    """A merge that waits: what is merged (ids of revisions, ours first), how it was asked for, and what is decided.

    ``source`` says what is merged, for people; ``request`` is what the merge was asked with, in plain values. ``ours``
    is the branch's newest version as the merge began. Later resolutions go before earlier ones.
    """

    uid: str
    source: str
    ours: str
    theirs: tuple[str, ...]
    bases: tuple[str, ...]
    request: dict[str, Any]
    conflicts: tuple[Conflict, ...]
    started_at: int
    started_by: str
    message: str = ""
    resolutions: tuple[Resolution, ...] = ()


class RemoteState(msgspec.Struct, frozen=True, omit_defaults=True):
    """Another place of the same repository: an address or a folder.

    ``ours`` and ``theirs`` are the numbers of the newest moves of versions in both logs when both were last compared.
    ``partial``: blocks were left there, and are fetched when they are needed. ``only``: the one branch that is pulled.
    """

    url: str
    partial: bool = False
    only: str = ""
    ours: int = 0
    theirs: int = 0


class PullState(msgspec.Struct, frozen=True):
    """A pull that brings both sides of a branch together, and what puts everything back when it was killed.

    The branch stands at ``there`` meanwhile, with what a rebase has made so far; ``before`` is the branch as it stood;
    the branch ``kept`` has its head.
    """

    who: LeaseState
    kept: str
    there: str | None
    before: BranchState


def encode(state: msgspec.Struct) -> bytes:
    """The stored form of a state: JSON with sorted keys."""
    return msgspec.json.encode(state, order="sorted")


def decode(kind: type[T], ref: Ref) -> T:
    """The state behind a ref.

    Raises:
        TooNew: the value has a form that this version of the tool does not know.
    """
    try:
        return msgspec.json.decode(ref.value, type=ready(kind))
    except msgspec.ValidationError as problem:
        raise TooNew(
            f"the entry {ref.key!r} has an unknown form: {problem}", hint="use a newer lepton-ai"
        ) from problem


def set_(key: str, ref: Ref | None, state: msgspec.Struct) -> Move:
    """Write ``state``, provided that the key still is as read in ``ref`` (None: absent)."""
    return Move(key, ref.stamp if ref else ABSENT, encode(state))


def hold(ref: Ref) -> Move:
    """Write a value again as it is: whoever computed anything from it, a deletion say, has to look again."""
    return Move(ref.key, ref.stamp, ref.value, logged=False)


def clear(ref: Ref) -> Move:
    """Remove a key, provided that it still is as read."""
    return Move(ref.key, ref.stamp, None)
