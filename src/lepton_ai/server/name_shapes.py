"""What has a name, as it passes over HTTP: branches, tags, aliases; who moved them; the graph of versions."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from lepton_ai.server.shapes import Id, Name, Time
from lepton_ai.types import Status


class Meant(msgspec.Struct, frozen=True):
    """A version that something means."""

    name: Name
    id: Id
    branch: str
    revision: int


class Head(msgspec.Struct, frozen=True):
    """The newest version of a branch."""

    name: Name
    id: Id


class BranchLine(msgspec.Struct, frozen=True):
    """A branch. ``merge``: the one into it that waits for decisions, in words."""

    name: str
    head: Head | None
    created_at: Time
    created_by: str
    status: Status
    merge: str | None
    etag: str


class Branches(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of branches, by name."""

    branches: tuple[BranchLine, ...]
    next: str | None = None


class NewBranch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A branch that starts from a version or branch (none given: the newest of main)."""

    name: Annotated[str, Meta(examples=["feature"])]
    base: str | None = None
    exist_ok: bool = False


class ChangeBranch(msgspec.Struct, frozen=True, omit_defaults=True):
    """Call a branch otherwise, or (``deleted`` false) bring a deleted one back."""

    name: str | None = None
    deleted: bool | None = None


class Gone(msgspec.Struct, frozen=True):
    """A branch that was deleted, and the names of the versions that went with it."""

    deleted: str
    versions: tuple[str, ...]


class LabelLine(msgspec.Struct, frozen=True):
    """A tag or alias and the version that it means."""

    name: Annotated[str, Meta(examples=["production"])]
    version: Meant
    etag: str


class Labels(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of tags or aliases, by name."""

    labels: tuple[LabelLine, ...]
    next: str | None = None


class SetLabel(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a tag or alias is to mean: a version, or a branch's newest."""

    version: Name
    message: str = ""


class Meaning(msgspec.Struct, frozen=True):
    """What an alias meant from ``since`` on; ``version`` null: it was removed then."""

    since: Time
    by: str
    why: str
    version: Meant | None


class Meanings(msgspec.Struct, frozen=True):
    """Everything that an alias meant, newest first."""

    name: str
    meanings: tuple[Meaning, ...]


class MoveLine(msgspec.Struct, frozen=True):
    """A move of a branch, tag, alias or version, with the version that it is about."""

    ref: str
    at: Time
    actor: str
    act: str
    why: str
    before: str | None
    after: str | None
    before_name: str | None
    id: str | None
    name: str | None
    branch: str | None
    author: str | None
    message: str | None
    operation: str | None


class Moves(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of moves, newest first."""

    moves: tuple[MoveLine, ...]
    next: str | None = None


class Node(msgspec.Struct, frozen=True):
    """A version in the graph. ``first`` is the id of its first revision; ``above`` are those of its parents.

    ``labels``: branches that stand on it, "tag/NAME", "alias/NAME". ``source``: what a rollback, merge or import took.
    """

    first: Id
    above: tuple[str, ...]
    name: Name
    id: Id
    branch: str
    status: Status
    at: Time
    author: str
    message: str
    operation: str
    source: str
    labels: tuple[str, ...]


class Graph(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of the graph, newest first: every version comes before those that it comes from."""

    versions: tuple[Node, ...]
    next: str | None = None
