"""Jobs of a server: begun by a request, done by a thread of one worker, seen by all.

A job is not handed on: when its worker dies it counts as lost, and who wanted it begins it again. (All kinds may be
broken off and repeated at any instruction.)
"""

from __future__ import annotations

import secrets
import time
from typing import Any

import msgspec
from sqlalchemy import and_, delete, insert, or_, select, update

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables.jobs import JOBS
from lepton_ai.errors import NotFound

PATIENCE = 120.0
"""Seconds without a sign of life after which a running job counts as lost."""
KEPT = 30 * 86400.0
"""Seconds for which it is remembered what came of a job."""
RUNNING, STOPPING, DONE, FAILED, CANCELLED, LOST = (
    "running",
    "stopping",
    "done",
    "failed",
    "cancelled",
    "lost",
)


class Job(msgspec.Struct, frozen=True):
    """A job as kept. Times are microseconds since 1970; ``result`` is JSON: what came of it, or the problem."""

    id: str
    repository: int
    kind: str
    asked: str
    state: str
    task: str
    done: int
    total: int
    started_by: str
    started_at: int
    beat_at: int
    ended_at: int | None
    result: str | None


_COLUMNS = tuple(JOBS.c[name] for name in Job.__struct_fields__)


def begin(catalog: Catalog, repository: int, kind: str, asked: dict[str, Any], person: str) -> Job:
    """Note a job that begins now; forget those that ended long ago."""
    now = _now()
    said = msgspec.json.encode(asked).decode()
    job = Job(secrets.token_hex(12), repository, kind, said, RUNNING, "", 0, 0, person, now, now, None, None)

    def act(connection: Any) -> None:
        connection.execute(delete(JOBS).where(JOBS.c.ended_at < now - int(KEPT * 1e6)))
        connection.execute(insert(JOBS), msgspec.structs.asdict(job))

    catalog.write(act)
    return job


def beat(catalog: Catalog, id_: str, task: str, done: int, total: int) -> None:
    """Give a sign of life, and say how far it is."""
    _change(catalog, id_, beat_at=_now(), task=task, done=done, total=total)


def cancel(catalog: Catalog, repository: int, id_: str) -> Job:
    """Ask that a job be broken off: whoever does it sees that soon. One that is over stays as it is.

    Raises:
        NotFound.
    """
    this = (JOBS.c.id == id_, JOBS.c.repository == repository, JOBS.c.state == RUNNING)
    catalog.write(lambda connection: connection.execute(update(JOBS).where(*this).values(state=STOPPING)))
    return find(catalog, repository, id_)


def is_wanted(catalog: Catalog, id_: str) -> bool:
    """Whether nobody has asked that a job be broken off."""
    with catalog.reading() as connection:
        return connection.execute(select(JOBS.c.state).where(JOBS.c.id == id_)).scalar() != STOPPING


def end(catalog: Catalog, id_: str, state: str, result: str) -> None:
    """Note what came of it."""
    now = _now()
    _change(catalog, id_, state=state, result=result, beat_at=now, ended_at=now)


def find(catalog: Catalog, repository: int, id_: str) -> Job:
    """A job of a repository.

    Raises:
        NotFound.
    """
    query = select(*_COLUMNS).where(JOBS.c.id == id_, JOBS.c.repository == repository)
    with catalog.reading() as connection:
        row = connection.execute(query).first()
    if row is None:
        raise NotFound(f"there is no job {id_[:80]!r}", hint="what came of a job is kept for 30 days")
    return _seen(row)


def page(catalog: Catalog, repository: int, before: tuple[int, str] | None, limit: int) -> list[Job]:
    """Jobs of a repository, the newest first; ``before`` (time and id of the last one) continues a page."""
    query = select(*_COLUMNS).where(JOBS.c.repository == repository)
    if before is not None:
        at, id_ = before
        query = query.where(JOBS.c.started_at <= at)
        query = query.where(or_(JOBS.c.started_at < at, and_(JOBS.c.started_at == at, JOBS.c.id < id_)))
    query = query.order_by(JOBS.c.started_at.desc(), JOBS.c.id.desc()).limit(limit)
    with catalog.reading() as connection:
        return [_seen(row) for row in connection.execute(query)]


def _change(catalog: Catalog, id_: str, **values: Any) -> None:
    catalog.write(
        lambda connection: connection.execute(update(JOBS).where(JOBS.c.id == id_).values(**values))
    )


def _seen(row: Any) -> Job:
    """A job as it is now: one whose worker died is lost."""
    job = Job(*row)
    if job.state in (RUNNING, STOPPING) and job.beat_at < _now() - int(PATIENCE * 1e6):
        return msgspec.structs.replace(job, state=LOST)
    return job


def _now() -> int:
    return time.time_ns() // 1000
