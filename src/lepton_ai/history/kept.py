"""What of the files in somebody's folder a version still has, so that they may be replaced."""

from __future__ import annotations

from collections.abc import Collection

from lepton_ai.history import states
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import History
from lepton_ai.progress import SILENT, Progress

CHUNK = 100
Claim = tuple[str, str]
"""A content, as ("", hexadecimal SHA-256), or a symbolic link, as (path, target)."""


def kept(
    history: History, reader: Reader, claims: Collection[Claim], progress: Progress = SILENT
) -> dict[Claim, bool]:
    """Those of ``claims`` that a version has which is not purged, and whether their bytes can be read: all are.

    The newest versions are looked at first, and only as many as are needed.
    """
    known = history.contents(bytes.fromhex(digest) for path, digest in claims if not path)
    wanted = {claim for claim in claims if claim[0] or bytes.fromhex(claim[1]) in known}
    found: set[Claim] = set()
    before: int | None = None
    while found != wanted and (page := history.page(before=before, limit=CHUNK)):
        before = page[-1][0]
        found |= wanted & _claims(history, [row.id for _, row in page])
    contents = [digest for path, digest in found if not path]
    progress.start("checking what is replaced", sum(known[bytes.fromhex(one)].size for one in contents))
    return {claim: bool(claim[0]) or reader.intact(claim[1], progress) for claim in found}


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
