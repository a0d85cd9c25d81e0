"""Longer work that a server does by itself in one of its repositories."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import msgspec

from lepton_ai.client.address import Address
from lepton_ai.client.connection import Connection

UNDER_WAY = ("running", "stopping")
PAGE = 100
FIRST, LONGEST = 0.2, 3.0
"""Seconds between two looks at a job, at first and at most."""


class Job(msgspec.Struct, frozen=True):
    """A job as a server tells it (see the OpenAPI document): ``done`` of ``total`` bytes of its ``task``."""

    id: str
    kind: str
    state: str
    task: str
    done: int
    total: int
    started_by: str
    started_at: str
    ended_at: str | None
    asked: dict[str, Any]
    result: dict[str, Any] | None
    problem: dict[str, Any] | None


class Page(msgspec.Struct, frozen=True):
    """Some of them, newest first."""

    jobs: tuple[Job, ...]
    next: str | None = None


class Begun(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is asked for; None is left to the server."""

    kind: str
    dry_run: bool | None = None
    fast: bool | None = None
    grace: float | None = None


class Jobs:
    """The jobs of one repository."""

    def __init__(self, connection: Connection, of: Address) -> None:
        self._connection = connection
        self._path = f"/repositories/{quote(of.owner, '')}/{quote(of.name, '')}/jobs"

    def every(self, limit: int) -> Iterator[Job]:
        """The newest ``limit``."""
        query = {"limit": str(min(limit, PAGE))}
        while limit > 0:
            page: Page = self._connection.call("GET", self._path, None, Page, query=query)
            yield from page.jobs[:limit]
            limit -= len(page.jobs)
            if page.next is None:
                return
            query |= {"after": page.next}

    def find(self, id_: str) -> Job:
        """One of them.

        Raises:
            NotFound.
        """
        job: Job = self._connection.call("GET", f"{self._path}/{quote(id_, '')}", None, Job)
        return job

    def begin(self, asked: Begun) -> Job:
        """Begin one.

        Raises:
            Forbidden, KeyMissing, Busy.
        """
        job: Job = self._connection.call("POST", self._path, asked, Job)
        return job

    def cancel(self, id_: str) -> Job:
        """Ask that one be broken off.

        Raises:
            NotFound, Forbidden.
        """
        job: Job = self._connection.call("POST", f"{self._path}/{quote(id_, '')}/cancel", None, Job)
        return job

    def ended(self, job: Job, saw: Callable[[Job], None]) -> Job:
        """Wait until a job is over; ``saw`` is told how far it is."""
        pause = FIRST
        while job.state in UNDER_WAY:
            saw(job)
            time.sleep(pause)
            pause = min(pause * 1.5, LONGEST)
            job = self.find(job.id)
        return job
