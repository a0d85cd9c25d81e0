"""Whether the server lives, and whether it can work."""

from __future__ import annotations

from typing import Literal

import msgspec
from fastapi import APIRouter, Request
from starlette.responses import PlainTextResponse, Response

from lepton_ai.errors import LeptonError
from lepton_ai.server.access import allow
from lepton_ai.server.auth import identify
from lepton_ai.server.bodies import Told, told
from lepton_ai.server.metrics import MEDIA_TYPE
from lepton_ai.server.running import Here, Running
from lepton_ai.server.settings import LOOPBACK

router = APIRouter(tags=["health"])

NOWHERE = "readiness/"
"""A prefix that nothing is stored under: listing it asks the object store for little."""


class Health(msgspec.Struct, frozen=True):
    """The process lives."""

    status: Literal["ok"] = "ok"


class Readiness(msgspec.Struct, frozen=True):
    """Whether requests can be answered: each of what the server stands on is "ok" or the kind of its error."""

    status: Literal["ready", "not-ready"]
    database: str
    objects: str


@router.get("/healthz", summary="Does the process live?")
async def healthz() -> Told[Health]:
    """Always 200 while the process answers. No login."""
    return Health()


@router.get(
    "/readyz", summary="Can it answer requests?", responses={503: {"description": "Something is missing"}}
)
def readyz(here: Here) -> Told[Readiness]:
    """200 when database (migrated to this version) and object store answer and the server is not stopping. No login."""
    database, objects = _database(here), _objects(here)
    ready = database == objects == "ok" and not here.stopping.is_set()
    found = Readiness("ready" if ready else "not-ready", database, objects)
    return told(found, 200 if ready else 503)


@router.get("/metrics", summary="Numbers for Prometheus", response_class=PlainTextResponse)
def metrics(request: Request, here: Here) -> Response:
    """Requests, latencies and what is in flight. A setting says who may read it."""
    if here.settings.metrics == "login" or (here.settings.metrics == "loopback" and not _is_near(request)):
        allow(identify(here, request), "read")
    return Response(here.metrics.text(), media_type=MEDIA_TYPE)


def _is_near(request: Request) -> bool:
    """Whether a program on this machine asks, and not for somebody else."""
    forwarded = any(name in request.headers for name in ("forwarded", "x-forwarded-for", "via"))
    return not forwarded and request.client is not None and request.client.host in LOOPBACK


def _database(here: Running) -> str:
    if not here.is_open:
        return "closed"
    try:
        here.catalog.check()
    except LeptonError as problem:
        return problem.kind
    return "ok"


def _objects(here: Running) -> str:
    if not here.is_open:
        return "closed"
    try:
        next(iter(here.objects.list(NOWHERE)), None)
    except LeptonError as problem:
        return problem.kind
    return "ok"
