"""The server's application: middleware, the table of routers, start and stop."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import FrameType
from typing import Any

from fastapi import APIRouter, FastAPI
from starlette.concurrency import run_in_threadpool

from lepton_ai import wire
from lepton_ai._version import __version__
from lepton_ai.server import openapi, problems, shaping, table
from lepton_ai.server.auth import Authentication
from lepton_ai.server.hosts import Hosts
from lepton_ai.server.metrics import forget_dead_processes
from lepton_ai.server.repeating import Repeating
from lepton_ai.server.requests import Requests
from lepton_ai.server.running import Running, close_all, open_all
from lepton_ai.server.settings import ServerSettings
from lepton_ai.server.sizes import Sizes
from lepton_ai.server.tidying import keep_tidy

ABOUT = """The verbs of Lepton AI for a team. Errors are problem+json (RFC 9457) whose `kind` never changes its meaning;
lists come in pages (`limit`, and `after` with the `next` of the page before); what can change has an `ETag` for
`If-Match`."""


def create_app(settings: ServerSettings) -> FastAPI:
    """The application for ``settings``. Database and objects are opened when it starts (its lifespan)."""
    shaping.prepare()
    running = Running(settings)
    app = FastAPI(
        title="Lepton AI",
        version=__version__,
        summary="Version control, deployment and watching of AI models",
        description=ABOUT,
        generate_unique_id_function=lambda route: (
            f"{route.endpoint.__module__.rpartition('.')[2]}_{route.name}"
        ),
        openapi_url=f"{wire.PREFIX}/openapi.json",
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan,
    )
    app.state.running = running
    problems.install(app)
    for router in table.AT_ROOT:
        app.include_router(router)
    api = APIRouter(prefix=wire.PREFIX)
    for router in table.UNDER_API:
        api.include_router(router)
    app.include_router(api)
    openapi.install(app)
    app.add_middleware(Repeating, running=running)  # the last that is added is the outermost
    app.add_middleware(Authentication, running=running)
    app.add_middleware(Sizes, settings=settings)
    app.add_middleware(Hosts, settings=settings)
    app.add_middleware(Requests, metrics=running.metrics)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    running: Running = app.state.running
    forget_dead_processes()
    await run_in_threadpool(open_all, running)
    _hear_of_the_end(running)
    tidying = asyncio.create_task(keep_tidy(running))
    try:
        yield
    finally:
        running.stopping.set()
        await tidying
        await run_in_threadpool(close_all, running)


def _hear_of_the_end(running: Running) -> None:
    """Let whoever waits for something long know of a stop when it is asked for: the server waits for them to end."""
    if threading.current_thread() is not threading.main_thread():
        return  # nobody stops this application by a signal: a test, or a program that runs it inside
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        before = signal.getsignal(number)
        if not callable(before):
            continue

        def told(given: int, frame: FrameType | None, before: Callable[..., Any] = before) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(running.stopping.set)
            before(given, frame)

        signal.signal(number, told)
