"""What goes by itself after a while: old events, what removed repositories leave, and packs that are on no list."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil

import msgspec
from starlette.concurrency import run_in_threadpool

from lepton_ai.catalog import events, orphans, people, purging, repositories
from lepton_ai.errors import LeptonError
from lepton_ai.server.homes import objects_of
from lepton_ai.server.running import Running
from lepton_ai.store.blobs.local import LocalBlobs

EVERY = 3600.0
"""Seconds between two rounds. Every process makes them; two at once do no harm."""
GRACE = 7 * 24 * 3600 * 1_000_000
"""Microseconds that a removed repository's rows and objects stay, for whoever has a copy of the database of before."""
HOUR = 3600 * 1_000_000
TURNS = 7 * 24
"""Hours in which every repository is looked through once for packs that are on no list: object stores list slowly."""
_PAGE = 1000
LOG = logging.getLogger("lepton_ai.server")


class Tidied(msgspec.Struct, frozen=True):
    """How many events, removed repositories, and packs on no list have gone for good."""

    events: int
    repositories: int
    packs: int = 0


def tidy(running: Running, now: int | None = None) -> Tidied:
    """One round.

    Raises:
        LeptonError: database or object store failed; the next round goes on.
    """
    moment = people.now() if now is None else now
    gone = events.forget(running.catalog, moment - events.KEPT)
    purged = 0
    for row in purging.removed(running.catalog):
        if row.changed_at > moment - GRACE:
            continue
        blobs = objects_of(running.objects, row)
        blobs.delete([info.name for info in blobs.list()])
        if isinstance(blobs, LocalBlobs):
            shutil.rmtree(blobs.root, ignore_errors=True)  # empty folders, and what was half there
        shutil.rmtree(running.homes.cache_folder / "repositories" / row.place, ignore_errors=True)
        purging.purge(running.catalog, row.number)  # the last: only the row knows where the objects were
        purged += 1
    return Tidied(gone, purged, _sweep(running, moment))


def _sweep(running: Running, moment: int) -> int:
    """Delete what a server that was killed between keeping a pack and listing it has left; how many packs."""
    swept = 0
    after: tuple[str, str] | None = None
    while some := repositories.page(running.catalog, after=after, limit=_PAGE):
        after = some[-1].owner, some[-1].name
        for row in some:
            if row.number % TURNS == moment // HOUR % TURNS:
                blobs = objects_of(running.objects, row)
                try:
                    swept += orphans.sweep(running.catalog, row.number, blobs, (moment - GRACE) / 1e6)
                except LeptonError as problem:  # the others have their turn all the same
                    LOG.warning("packs on no list of %s/%s stay for now: %s", row.owner, row.name, problem)
    return swept


async def keep_tidy(running: Running) -> None:
    """Make a round now and then, until the server stops."""
    while not running.stopping.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(running.stopping.wait(), EVERY)
            return
        try:
            tidied = await run_in_threadpool(tidy, running)
        except LeptonError as problem:
            LOG.warning("tidying failed: %s", problem)
            continue
        if tidied != Tidied(0, 0):
            said = (tidied.events, tidied.repositories, tidied.packs)
            LOG.info("tidied: %s events, %s removed repositories, %s packs on no list", *said)
