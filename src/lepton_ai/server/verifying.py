"""Verification on one of several servers: what another one deleted meanwhile is no damage."""

from __future__ import annotations

from lepton_ai.catalog import packs
from lepton_ai.errors import NotFound
from lepton_ai.history.verify import Verdict
from lepton_ai.repository import ModelRepository
from lepton_ai.server.asked import Asked

TRIES = 3


def verified(asked: Asked, repository: ModelRepository, *, fast: bool) -> Verdict:
    """What a verification finds; begun anew when packs that it found damaged are not listed any more."""
    shelf = asked.opened.shelf
    for left in reversed(range(TRIES)):
        shelf.refresh()
        verdict = repository.verify(fast=fast)
        if not left or not any(_vanished(asked, damage.where) for damage in verdict.damages):
            break
    return verdict


def _vanished(asked: Asked, where: str) -> bool:
    kind, _, name = where.partition(" ")
    if kind != "pack":
        return False
    try:
        packs.find(asked.here.catalog, asked.row.number, name)
    except NotFound:
        return True
    return False
