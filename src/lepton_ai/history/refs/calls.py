"""The calls of a :class:`~lepton_ai.history.refs.contract.History` as they pass over HTTP: ``POST …/history/<call>``.

A body is the call's arguments by their names, as JSON; bytes are Base64. Answers are lists of the contract's structs:

get, scan       Ref
log             LogEntry
versions, named, revisions   VersionRow (revisions of one version together, in order)
find            ids (Base64)
page            pairs of a sequence number and a VersionRow
contents        ContentRow
commit          the body is a Commit; the answer is empty (204)

An answer has at most :data:`MOST` entries: whoever wants more asks again from where it ended.
"""

from __future__ import annotations

import msgspec

MOST = 5000
"""Entries in one answer, and keys or ids in one question."""


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
