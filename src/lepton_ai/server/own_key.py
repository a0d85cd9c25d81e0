"""Whether the server's own key is that of the others over the same database."""

from __future__ import annotations

from pathlib import Path

import msgspec

from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged, KeyMissing
from lepton_ai.server.homes import ENVELOPE
from lepton_ai.store.durable import storage_errors
from lepton_ai.store.seal.envelopes import Envelope, unwrap
from lepton_ai.store.seal.texts import parse_key_text


def check_own_key(catalog: Catalog, place: Path) -> None:
    """See that the key file at ``place`` opens the newest repository whose key servers over this database hold.

    Raises:
        KeyMissing: it is another one, or is not there. Damaged: what it should open cannot be read.
    """
    kept = repositories.newest_key(catalog, ENVELOPE)
    if kept is None:
        return
    try:
        envelope = msgspec.json.decode(kept, type=ready(Envelope))
    except msgspec.DecodeError as problem:
        raise Damaged(f"the newest {ENVELOPE} in the database is damaged") from problem
    with storage_errors(place):
        text = place.read_text(encoding="utf-8", errors="replace") if place.exists() else None
    if text is None or unwrap(envelope, parse_key_text(text, str(place)).secret) is None:
        state = "is not there" if text is None else "is not the key of the servers over this database"
        raise KeyMissing(
            f"{place} {state}: it does not open what they hold",
            hint="copy keys/server.key of one of them there, then repeat",
        )
