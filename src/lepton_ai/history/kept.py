"""What of the files in somebody's folder a version still has, so that they may be replaced."""

from __future__ import annotations

from collections.abc import Collection

from lepton_ai.history import states
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import History

CHUNK = 100
Claim = tuple[str, str]
"""A content, as ("", hexadecimal SHA-256), or a symbolic link, as (path, target)."""


def kept(history: History, reader: Reader, claims: Collection[Claim]) -> set[Claim]:
    """Those of ``claims`` that a version has which is not purged, and whose bytes can be read.

    The newest versions are looked at first, and only as many as are needed.
    """
    wanted = {claim for claim in claims if claim[0] or reader.readable(bytes.fromhex(claim[1]))}
    found: set[Claim] = set()
    before: int | None = None
    while found != wanted and (page := history.page(before=before, limit=CHUNK)):
        before = page[-1][0]
        found |= wanted & _claims(history, [row.id for _, row in page])
    return found


def _claims(history: History, firsts: list[bytes]) -> set[Claim]:
    refs = history.get([f"version/{first.hex()}" for first in firsts]).values()
    living = [
        bytes.fromhex(ref.key.removeprefix("version/"))
        for ref in refs
        if states.decode(states.VersionState, ref).purged_at is None
    ]
    return {
        ("", file.sha256) if file.target is None else (file.path, file.target)
        for rows in history.revisions(living).values()
        for row in rows
        for file in parse_record(row.record, row.id).files
    }
