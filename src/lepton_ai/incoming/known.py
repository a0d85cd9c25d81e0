"""What of a source is here already: the records of its versions say so themselves, whoever pushed or cloned them."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.incoming.contract import Source
from lepton_ai.types import Origin

PAGE = 1000
MARK = b'"origin":{'


class Known(msgspec.Struct, frozen=True):
    """A version that was taken before: the id of its first revision, and what of it is missing still."""

    first: bytes
    missing: tuple[str, ...] = ()


class _Operation(msgspec.Struct):
    origin: Origin | None = None


class _Head(msgspec.Struct):
    operation: _Operation


def known_of(lines: Lines, source: Source) -> dict[str, Known]:
    """Reference → version, of every version that came from this source; deleted ones too, which do not come again."""
    found: dict[str, Known] = {}
    for row in _rows(lines):
        if MARK not in row.record:
            continue
        origin = msgspec.json.decode(row.record, type=ready(_Head)).operation.origin
        if origin is not None and (origin.kind, origin.scope) == (source.kind, source.scope):
            found[origin.reference] = Known(row.first, origin.missing)
    return found


def _rows(lines: Lines) -> Iterator[VersionRow]:
    """Every revision of every version, those of one version from the oldest on."""
    after = "version/"
    while page := lines.history.scan("version/", after=after, limit=PAGE):
        firsts = [bytes.fromhex(ref.key.removeprefix("version/")) for ref in page]
        revisions = lines.history.revisions(firsts)
        for first in firsts:
            yield from revisions.get(first, ())
        after = page[-1].key
