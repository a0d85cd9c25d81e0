"""What a server process holds while it runs; routes ask for it as a dependency."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Request

from lepton_ai.later import Later
from lepton_ai.server.limits import Limits
from lepton_ai.server.metrics import Metrics
from lepton_ai.server.settings import ServerSettings


@dataclass
class Running:
    """``catalog`` (:class:`lepton_ai.catalog.database.Catalog`), ``objects`` (Blobs) and ``homes``
    (:class:`lepton_ai.server.homes.Homes`) are there between start and stop. ``stopping`` is set when the server is to
    stop: whoever waits for something long ends then.
    """

    settings: ServerSettings
    catalog: Any = None
    objects: Any = None
    homes: Any = None
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    metrics: Metrics = field(default_factory=Metrics)
    limits: Limits = field(init=False)

    def __post_init__(self) -> None:
        self.limits = Limits(self.settings, self.metrics)


def running(request: Request) -> Running:
    """What the process that answers ``request`` holds."""
    held: Running = request.app.state.running
    return held


Here = Annotated[Running, Depends(running)]
"""A parameter of a route: what the process holds."""

_database = Later("lepton_ai.catalog.database")
_stores = Later("lepton_ai.store.blobs.objects")
_homes = Later("lepton_ai.server.homes")


def open_all(held: Running) -> None:
    """Connect to database and object store.

    Raises:
        LeptonError: one of them cannot be reached, or needs ``lepton server migrate``.
    """
    settings = held.settings
    settings.cache_folder.mkdir(parents=True, exist_ok=True)
    held.catalog = _database.Catalog(settings.database_url)
    try:
        held.catalog.check()
        held.objects = _stores.open_objects(settings.objects_url, "")
        held.homes = _homes.Homes(held.catalog, held.objects, settings.cache_folder, settings.key_file)
    except BaseException:
        held.catalog.close()
        raise


def close_all(held: Running) -> None:
    """Let go of everything."""
    if held.homes is not None:
        held.homes.close()
    if held.catalog is not None:
        held.catalog.close()
