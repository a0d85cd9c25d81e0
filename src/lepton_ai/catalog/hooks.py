"""What else happens in the transaction of every commit to a history: the version index, and the list of events."""

from __future__ import annotations

from lepton_ai.catalog import events, search_index
from lepton_ai.catalog.database import Catalog, Hook

ALL: tuple[Hook, ...] = (search_index.record, events.record)


def attach(catalog: Catalog) -> Catalog:
    """Let commits to ``catalog`` keep the index and tell what happened; once is enough."""
    catalog.hooks += [hook for hook in ALL if hook not in catalog.hooks]
    return catalog
