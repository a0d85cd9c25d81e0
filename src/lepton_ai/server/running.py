"""What a server process holds while it runs; routes ask for it as a dependency."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from lepton_ai.catalog import hooks
from lepton_ai.catalog.database import Catalog
from lepton_ai.server.following import Following
from lepton_ai.server.homes import Homes
from lepton_ai.server.limits import Limits
from lepton_ai.server.metrics import Metrics
from lepton_ai.server.settings import ServerSettings
from lepton_ai.server.working import Workers
from lepton_ai.store.blobs.objects import open_objects, open_served
from lepton_ai.store.blobs.probing import Ability, probe, require
from lepton_ai.store.contract import Blobs


@dataclass
class Running:
    """``catalog`` (:class:`lepton_ai.catalog.database.Catalog`), ``objects`` (Blobs), ``homes``
    (:class:`lepton_ai.server.homes.Homes`) and ``workers`` (which do jobs) are there between start and stop.
    ``streams`` counts the open streams of events of each user.
    ``stopping`` is set when the server is to stop: whoever waits for something long ends then.
    """

    settings: ServerSettings
    catalog: Catalog = None  # type: ignore[assignment]
    objects: Blobs = None  # type: ignore[assignment]
    homes: Homes = None  # type: ignore[assignment]
    workers: Workers = None  # type: ignore[assignment]
    following: Following = None  # type: ignore[assignment]
    streams: Counter[int] = field(default_factory=Counter)
    is_open: bool = False
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        self.limits = Limits(self.settings, self.metrics)


async def running(request: Request) -> Running:  # async: for this no thread is worth waiting
    """What the process that answers ``request`` holds."""
    held: Running = request.app.state.running
    return held


Here = Annotated[Running, Depends(running)]
"""A parameter of a route: what the process holds."""

NEEDED: tuple[Ability, ...] = ("create_if_absent", "range")
"""What an object store must really do; one that ignores conditions would lose packs."""


def open_all(held: Running) -> None:
    """Connect to database and object store.

    Raises:
        LeptonError: one of them cannot be reached, or needs ``lepton server migrate``.
    """
    settings = held.settings
    settings.cache_folder.mkdir(0o700, parents=True, exist_ok=True)
    catalog = Catalog(settings.database_url, connections=settings.connections_each)
    held.catalog = hooks.attach(catalog)
    try:
        held.catalog.check()
        held.objects = open_served(
            settings.objects_url, settings.cache_folder / "packs", settings.cache_bytes
        )
        held.homes = Homes(held.catalog, held.objects, settings.cache_folder, settings.key_file)
        held.workers = Workers(held.catalog)
        held.following = Following(held.catalog)
    except BaseException:
        held.catalog.close()
        raise
    held.is_open = True


def try_objects(settings: ServerSettings) -> None:
    """See that the object store does what is needed of it.

    Raises:
        Unsupported, StorageFailed, UsageError, MissingExtra.
    """
    require(settings.objects_url.partition("?")[0], probe(open_objects(settings.objects_url)), NEEDED)


def close_all(held: Running) -> None:
    """Let go of everything."""
    if held.is_open:
        held.is_open = False
        held.workers.close()
        held.homes.close()
        held.catalog.close()
