"""Keeping house on the server: gc, verify, repack and stats, as jobs that say how far they are."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from fastapi import APIRouter, Path, Request
from msgspec import Meta
from msgspec.structs import asdict

from lepton_ai.catalog import jobs
from lepton_ai.errors import UsageError
from lepton_ai.history.leases import DEFAULT_GRACE
from lepton_ai.history.record import timestamp
from lepton_ai.progress import Progress
from lepton_ai.server import cursors
from lepton_ai.server.asked import WHERE, Asked, Reading
from lepton_ai.server.bodies import Sent, Told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.shapes import Time, shaped
from lepton_ai.server.verifying import verified
from lepton_ai.store.coder import LONGEST
from lepton_ai.telling import house
from lepton_ai.types import without_nan

router = APIRouter(prefix=WHERE, tags=["jobs"])

Kind = Literal["gc", "verify", "repack", "stats", "replay"]
ACTS: dict[str, str] = {
    "gc": "admin",
    "repack": "admin",
    "verify": "write",
    "stats": "read",
    "replay": "read",
}
"""What one has to be allowed for a kind of job."""
Id = Annotated[str, Path(max_length=100, description="The `id` of the job")]


class NewJob(msgspec.Struct, frozen=True, omit_defaults=True):
    """Longer work. ``grace`` (seconds) and ``dry_run`` are for gc, ``dry_run`` and ``max_chain`` for repack, ``fast``
    for verify, ``version`` (a merge to be done again) for replay.
    """

    kind: Annotated[Kind, Meta(examples=["verify"])]
    dry_run: bool = False
    fast: bool = False
    grace: float = DEFAULT_GRACE
    max_chain: int = LONGEST
    version: str = ""


class JobLine(msgspec.Struct, frozen=True):
    """A job. ``done`` of ``total`` bytes of its ``task``; ``result`` as the command's --json has it; ``problem`` when
    it failed. ``state`` "stopping": it was cancelled, and ends at its next step ("cancelled"); "lost": the server that
    did it died; begin it again.
    """

    id: str
    kind: Kind
    state: Literal["running", "stopping", "done", "failed", "cancelled", "lost"]
    task: str
    done: int
    total: int
    started_by: str
    started_at: Time
    ended_at: Time | None
    asked: dict[str, Any]
    result: dict[str, Any] | None
    problem: dict[str, Any] | None


class Jobs(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of jobs, newest first."""

    jobs: tuple[JobLine, ...]
    next: str | None = None


@router.post("/jobs", summary="Begin longer work", status_code=202)
def begin_job(asked: Reading, body: Sent[NewJob], request: Request) -> Told[JobLine]:
    """Answers at once; ask the job's address how far it is. gc and repack are for administrators."""
    asked.allow(ACTS[body.kind])
    if body.kind == "replay" and not body.version:
        raise UsageError("which merge is to be done again is not said", hint='"version": "v7"')
    asked.repository  # noqa: B018  (that the key is missing is said now, not by a job that fails)
    said: dict[str, Any] = {
        "dry_run": body.dry_run,
        "fast": body.fast,
        "grace": body.grace,
        "max_chain": body.max_chain,
    }
    said |= {"version": body.version} if body.version else {}
    job = asked.here.workers.begin(
        asked.row.number, body.kind, said, asked.caller.user, lambda progress: _done(asked, body, progress)
    )
    return shaped(JobLine, _line(job), 202, {"Location": f"{request.url.path.rstrip('/')}/{job.id}"})


@router.get("/jobs", summary="Jobs")
def list_jobs(asked: Reading, after: Cursor = None, limit: Limit = 100) -> Told[Jobs]:
    """The newest first; what came of a job is kept for 30 days."""
    found = jobs.page(asked.here.catalog, asked.row.number, cursors.decode(after, tuple[int, str]), limit + 1)
    more = cursors.encode((found[limit - 1].started_at, found[limit - 1].id)) if len(found) > limit else None
    return shaped(Jobs, {"jobs": [_line(job) for job in found[:limit]], "next": more})


@router.get("/jobs/{job}", summary="A job: how far it is, or what came of it")
def show_job(asked: Reading, job: Id) -> Told[JobLine]:
    """``state`` is "running" or "stopping" until it is over."""
    return shaped(JobLine, _line(jobs.find(asked.here.catalog, asked.row.number, job)))


@router.post("/jobs/{job}/cancel", summary="Break a job off")
def cancel_job(asked: Reading, job: Id) -> Told[JobLine]:
    """It ends at its next step; what it did so far is whole, and stays. For whoever began it, and for administrators. A
    job that is over stays as it is.
    """
    found = jobs.find(asked.here.catalog, asked.row.number, job)
    asked.allow(ACTS[found.kind] if found.started_by == asked.caller.user else "admin")
    return shaped(JobLine, _line(jobs.cancel(asked.here.catalog, asked.row.number, job)))


def _done(asked: Asked, body: NewJob, progress: Progress) -> dict[str, Any]:
    """Do it; plain values of what came of it."""
    repository = asked.here.homes.open(asked.row, author=asked.caller.user, progress=progress)
    found: Any
    match body.kind:
        case "gc":
            found = asdict(repository.gc(grace=body.grace, dry_run=body.dry_run))
        case "repack":
            found = repository.repack(max_chain=body.max_chain, dry_run=body.dry_run)
        case "verify":
            found = house.verdict(verified(asked, repository, fast=body.fast))
        case "stats":
            taken = repository.stats()
            found = house.stats(taken, taken.versions)
        case "replay":
            version = repository.version(body.version, "main")
            same = repository.replay_merge(version)
            found = {"version": version.id, "content_id": version.content_id, "same": same}
    plain: dict[str, Any] = without_nan(msgspec.to_builtins(found))
    return plain


def _line(job: jobs.Job) -> dict[str, Any]:
    result = msgspec.json.decode(job.result) if job.result else None
    return {
        "id": job.id,
        "kind": job.kind,
        "state": job.state,
        "task": job.task,
        "done": job.done,
        "total": job.total,
        "started_by": job.started_by,
        "started_at": timestamp(job.started_at),
        "ended_at": timestamp(job.ended_at) if job.ended_at else None,
        "asked": msgspec.json.decode(job.asked),
        "result": result if job.state == jobs.DONE else None,
        "problem": result if job.state == jobs.FAILED else None,
    }
