"""The threads of a worker that do longer work than a request should take."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import msgspec

from lepton_ai.catalog import jobs
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.jobs import Job
from lepton_ai.errors import Busy, LeptonError
from lepton_ai.progress import Progress

AT_ONCE = 2
WAITING = 16
"""Jobs that one worker takes on beside those that it does."""
OF_ONE = 6
"""Of these, how many may be one person's: others have work, too."""
BEAT = 2.0
"""Seconds between what is noted of a job's progress."""
LOG = logging.getLogger("lepton_ai.server")
Work = Callable[[Progress], Any]


class Stopped(Exception):
    """The server is stopping."""


class Cancelled(Exception):
    """Somebody wants the job no more."""


class Workers:
    """Does jobs in threads of its own; every job is noted in the catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._pool = ThreadPoolExecutor(AT_ONCE, "lepton-ai-job")
        self._lock = threading.Lock()
        self._under_way: Counter[str] = Counter()
        self._stopping = threading.Event()

    def begin(self, repository: int, kind: str, asked: dict[str, Any], person: str, work: Work) -> Job:
        """Begin a job; ``work`` gets a progress and gives plain values.

        Raises:
            Busy: this worker has enough to do, or does enough for this person.
        """
        with self._lock:
            if self._under_way.total() >= AT_ONCE + WAITING or self._stopping.is_set():
                raise Busy("this server has enough longer work to do already", hint="repeat it later")
            if self._under_way[person] >= OF_ONE:
                raise Busy(f"{OF_ONE} jobs of yours are under way here", hint="repeat it when one has ended")
            self._under_way[person] += 1
        try:
            job = jobs.begin(self._catalog, repository, kind, asked, person)
            self._pool.submit(self._do, job, work)
        except BaseException:
            self._less(person)
            raise
        return job

    def close(self) -> None:
        """Break off what is under way; wait for the threads."""
        self._stopping.set()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _do(self, job: Job, work: Work) -> None:
        told = Telling(self._catalog, job.id, self._stopping)
        try:
            with told:
                result = work(told)
            self._end(job, jobs.DONE, result)
        except LeptonError as problem:
            said = {"kind": problem.kind, "detail": problem.message, "hint": problem.hint}
            self._end(job, jobs.FAILED, said)
        except Cancelled:
            self._end(job, jobs.CANCELLED, None)
        except Stopped:
            said = {"kind": "busy", "detail": "the server was stopped", "hint": "begin it again"}
            self._end(job, jobs.FAILED, said)
        except Exception:
            LOG.exception("a job failed", extra={"job": job.id, "kind": job.kind})
            self._end(
                job, jobs.FAILED, {"kind": "internal", "detail": "the server failed at this", "hint": None}
            )
        finally:
            self._less(job.started_by)

    def _end(self, job: Job, state: str, result: Any) -> None:
        try:
            jobs.end(self._catalog, job.id, state, msgspec.json.encode(result).decode())
        except LeptonError:  # the database is gone: the job will count as lost
            LOG.exception("what came of a job could not be noted", extra={"job": job.id})

    def _less(self, person: str) -> None:
        with self._lock:
            self._under_way[person] -= 1


class Telling:
    """Notes the progress of a job, and that it lives, every few seconds; ends it when the server stops, or when it is
    wanted no more, at its next step.
    """

    def __init__(self, catalog: Catalog, id_: str, stopping: threading.Event) -> None:
        self._catalog, self._id, self._stopping = catalog, id_, stopping
        self._task, self._done, self._total = "", 0, 0
        self._over, self._cancelled = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"lepton-ai-job-{id_}", daemon=True)

    def start(self, task: str, total: int) -> None:
        """A task begins."""
        self._task, self._done, self._total = task, 0, total
        self._go_on()

    def advance(self, amount: int) -> None:
        """Some of it is done."""
        self._done += amount
        self._go_on()

    def __enter__(self) -> Telling:
        self._look()
        self._go_on()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Stopped
        if self._cancelled.is_set():
            raise Cancelled

    def _look(self) -> None:
        """See whether the job is still wanted."""
        if not jobs.is_wanted(self._catalog, self._id):
            self._cancelled.set()

    def _beat(self) -> None:
        told, at = None, 0.0
        while not self._over.wait(BEAT):
            now = (self._task, self._done, self._total)
            with suppress(LeptonError):  # the next beat may get through
                self._look()
            if now == told and time.monotonic() - at < jobs.PATIENCE / 6:
                continue
            try:
                jobs.beat(self._catalog, self._id, *now)
                told, at = now, time.monotonic()
            except LeptonError:  # the next beat may get through
                LOG.warning("a job's progress could not be noted", extra={"job": self._id})
