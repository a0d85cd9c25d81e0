"""A request that is sent twice is done once: its key → the answer, for a day.

Whoever comes first works, and shows every few seconds that he still does. Whoever comes meanwhile waits, or is told so;
whoever comes later gets the answer. When the first one dies, the next one works after :data:`LEASE`: what the dead one
had finished by then may be done once more, unless the act itself tells (a name is taken, a ref has moved).
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
from types import TracebackType
from typing import Any, Self

import msgspec
from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.people import now
from lepton_ai.catalog.tables.journal import ANSWERS
from lepton_ai.errors import AlreadyExists, Busy, LeptonError, UsageError

KEPT = 24 * 3600 * 1_000_000
LEASE = 60 * 1_000_000
"""Microseconds without a sign of life after which somebody else may work."""
_BEAT = 15.0
_SWEPT = 100
_KEY = re.compile(r"[!-~]{1,255}")
_FIRST_WAIT, _LONGEST_WAIT = 0.02, 0.5


class Answer(msgspec.Struct, frozen=True):
    """What was answered."""

    status: int
    headers: dict[str, str]
    body: bytes


class Turn:
    """The right, and the duty, to work on a request; a context, which gives it back when nothing was answered."""

    def __init__(self, catalog: Catalog, owner: int, key: str, holder: bytes) -> None:
        self._catalog, self._holder = catalog, holder
        self._mine = (ANSWERS.c.owner == owner, ANSWERS.c.key == key, ANSWERS.c.holder == holder)
        self._over = threading.Event()
        self._given_back = False
        self._beating = threading.Thread(target=self._beat, name="idempotency", daemon=True)

    def __enter__(self) -> Self:
        self._beating.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.abandon()
        finally:
            self._beating.join()

    def finish(self, answer: Answer, *, secret: bool = False) -> bool:
        """Keep the answer for whoever asks again; with ``secret`` only that there was one. False: another one works."""
        self._over.set()
        self._given_back = True
        told = {
            "status": answer.status,
            "headers": None if secret else msgspec.json.encode(answer.headers),
            "body": None if secret else answer.body,
        }
        return self._set(**told)

    def abandon(self) -> None:
        """Let somebody else try, unless it is finished."""
        self._over.set()
        if self._given_back:
            return
        self._given_back = True
        gone = delete(ANSWERS).where(*self._mine, ANSWERS.c.status.is_(None))
        self._catalog.write(lambda connection: connection.execute(gone))

    def _beat(self) -> None:
        while not self._over.wait(_BEAT):
            try:
                if not self._set(beat_at=now()):
                    return
            except LeptonError:
                continue  # the next beat may come through; if none does, the lease ends

    def _set(self, **values: Any) -> bool:
        changed = update(ANSWERS).where(*self._mine, ANSWERS.c.status.is_(None)).values(**values)
        return bool(self._catalog.write(lambda connection: connection.execute(changed).rowcount))


def begin(
    catalog: Catalog, owner: int, key: str, method: str, path: str, body: bytes, *, wait: float = 0.0
) -> Turn | Answer:
    """The answer that the request has got already, or the right to work on it.

    ``owner`` is the user's number, ``body`` are the body's bytes, or a digest of them; ``wait`` is for how many seconds
    to wait for somebody who works on it.

    Raises:
        UsageError: the key is none, or was used for another request.
        Busy: somebody works on it.
        AlreadyExists: it was done, and its answer was secret.
    """
    if not _KEY.fullmatch(key):
        raise UsageError(
            "an idempotency key has 1 to 255 visible ASCII characters", hint="a random UUID, say"
        )
    request = _digest(method, path, body)
    end, pause = time.monotonic() + wait, _FIRST_WAIT
    while True:
        found = catalog.write(lambda connection: _begin(connection, owner, key, request))
        if isinstance(found, bytes):
            return Turn(catalog, owner, key, found)
        if found is not None:
            return found
        if time.monotonic() + pause > end:
            raise Busy("the same request is being worked on", hint="repeat it with the same key in a moment")
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_WAIT)


def _begin(connection: Connection, owner: int, key: str, request: bytes) -> bytes | Answer | None:
    """The holder's token of a new turn, the answer, or None: somebody works on it."""
    moment, holder = now(), secrets.token_bytes(16)
    _sweep(connection, moment)
    values = {
        "request": request,
        "holder": holder,
        "beat_at": moment,
        "expires_at": moment + KEPT,
        "status": None,
        "headers": None,
        "body": None,
    }
    mine = (ANSWERS.c.owner == owner, ANSWERS.c.key == key)
    row = connection.execute(select(ANSWERS).where(*mine).with_for_update()).first()
    if row is None:
        try:
            with connection.begin_nested():
                connection.execute(insert(ANSWERS), {"owner": owner, "key": key, **values})
        except IntegrityError:  # somebody else was faster
            return None
        return holder
    if row.expires_at > moment:
        if not hmac.compare_digest(row.request, request):
            raise UsageError("this idempotency key was used for another request", hint="make a new key")
        if row.status is not None:
            return _answer(row)
        if row.beat_at + LEASE > moment:
            return None
    connection.execute(update(ANSWERS).where(*mine).values(**values))
    return holder


def _answer(row: Any) -> Answer:
    if row.body is None:
        raise AlreadyExists("this was done already, and its secret was told once", hint="make a new one")
    return Answer(row.status, msgspec.json.decode(row.headers, type=dict[str, str]), row.body)


def _sweep(connection: Connection, moment: int) -> None:
    """End some answers whose day is over."""
    old = select(ANSWERS.c.owner, ANSWERS.c.key).where(ANSWERS.c.expires_at <= moment)
    query = old.order_by(ANSWERS.c.expires_at).limit(_SWEPT).with_for_update(skip_locked=True)
    for owner, key in connection.execute(query).all():
        connection.execute(delete(ANSWERS).where(ANSWERS.c.owner == owner, ANSWERS.c.key == key))


def _digest(method: str, path: str, body: bytes) -> bytes:
    parts = (method.encode(), path.encode(), body)
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).digest()
