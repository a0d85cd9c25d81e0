"""The calls of a :class:`~lepton_ai.history.refs.contract.History` as they pass over HTTP: ``POST …/history/<call>``.

A body is the call's arguments by their names, as JSON; bytes are Base64. Answers are lists of the contract's structs:

get, scan       Ref
log             LogEntry
versions, named, revisions   VersionRow (revisions of one version together, in order)
find            ids (Base64)
page            pairs of a sequence number and a VersionRow
contents        ContentRow
several         Seen: what whoever pushes or pulls asks at once
commit          the body is a Commit; the answer is empty (204)

An answer has at most :data:`MOST` entries: whoever wants more asks again from where it ended.
"""

from __future__ import annotations

import msgspec

from lepton_ai.history.refs.contract import ContentRow, Ref, VersionRow

MOST = 5000
"""Entries in one answer, and keys or ids in one question."""
MOST_PREFIXES = 8
"""Prefixes in one question."""


class Get(msgspec.Struct, frozen=True):
    """Refs by their keys, in one snapshot."""

    keys: tuple[str, ...]


class Scan(msgspec.Struct, frozen=True, omit_defaults=True):
    """Refs by a prefix of their keys, in key order."""

    prefix: str = ""
    after: str = ""
    limit: int | None = None


class Log(msgspec.Struct, frozen=True, omit_defaults=True):
    """Moves of refs by a prefix of their keys, newest first."""

    prefix: str = ""
    before: int | None = None
    limit: int | None = None


class Versions(msgspec.Struct, frozen=True):
    """Versions by their ids."""

    ids: tuple[bytes, ...]


class Revisions(msgspec.Struct, frozen=True):
    """All revisions of versions, by the ids of the first ones."""

    firsts: tuple[bytes, ...]


class Named(msgspec.Struct, frozen=True):
    """First revisions of versions by their name, oldest first."""

    name: str


class Find(msgspec.Struct, frozen=True, omit_defaults=True):
    """Ids by the beginning of their hexadecimal form."""

    prefix: str
    limit: int = 10


class Page(msgspec.Struct, frozen=True, omit_defaults=True):
    """First revisions, newest first."""

    before: int | None = None
    limit: int | None = None


class Contents(msgspec.Struct, frozen=True):
    """Where files are, by their SHA-256."""

    digests: tuple[bytes, ...]


class Since(msgspec.Struct, frozen=True):
    """Refs below ``prefix`` that moved after the log's entry ``number``."""

    prefix: str
    number: int


class Above(msgspec.Struct, frozen=True, omit_defaults=True):
    """Versions from ``heads``, and from the branches among the refs that are told, down to those that are ``known``."""

    heads: tuple[bytes, ...] = ()
    known: tuple[bytes, ...] = ()
    branches: bool = False


class Several(msgspec.Struct, frozen=True, omit_defaults=True):
    """Several questions at once. ``keys`` and ``prefixes`` of refs; ids of ``versions`` and SHA-256 of ``contents``, of
    which is asked whether they are there; ``since`` and ``above`` see there.
    """

    keys: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    versions: tuple[bytes, ...] = ()
    contents: tuple[bytes, ...] = ()
    since: Since | None = None
    above: Above | None = None


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer to :class:`Several`: ``refs`` of the keys, below the prefixes, of what moved and of the states of
    ``rows``; ``cut`` are the prefixes that have more. ``newest`` is the number of the newest entry below the prefix of
    ``since``, ``moved`` are the keys that moved; None: too many. ``rows`` are all revisions of the versions above what
    is known, not always all of them: then their parents are asked for. ``places`` say where their files are.
    """

    refs: tuple[Ref, ...] = ()
    cut: tuple[str, ...] = ()
    versions: tuple[bytes, ...] = ()
    contents: tuple[bytes, ...] = ()
    newest: int = 0
    moved: tuple[str, ...] | None = ()
    rows: tuple[VersionRow, ...] = ()
    places: tuple[ContentRow, ...] = ()
