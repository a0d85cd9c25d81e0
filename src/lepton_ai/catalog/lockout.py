"""Whoever guesses passwords has to wait, longer each time; by name and by address.

A try is counted before it is judged, so that a hundred at once are no way round. Names that do not exist are counted as
well: otherwise the answer would tell which ones do. Tokens and sessions go on working while a name is locked.
"""

from __future__ import annotations

import hashlib

from sqlalchemy import delete, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lepton_ai.catalog.tables.people import LOGIN_FAILURES
from lepton_ai.errors import TooManyRequests

SECOND = 1_000_000
WINDOW = 15 * 60 * SECOND
"""After this time without a failure all is forgotten (microseconds)."""
FREE = {"user": 5, "address": 50}
"""Failures before the first delay. Many people may share an address."""
FIRST_DELAY, LONGEST_DELAY = 30 * SECOND, 15 * 60 * SECOND
_SWEPT = 100


class LockedOut(TooManyRequests):
    """Too many logins failed; ``seconds`` says how long to wait."""

    def __init__(self, seconds: int) -> None:
        hint = f"try again in {seconds} s, or ask an administrator to unlock you"
        super().__init__("too many failed logins", hint=hint)
        self.seconds = seconds


def subjects(name: str, address: str) -> dict[bytes, int]:
    """What a try counts against (hashes), with the failures that are free."""
    given = {"user": name, "address": address}
    return {subject(kind, value): FREE[kind] for kind, value in given.items() if value or kind == "user"}


def subject(kind: str, value: str) -> bytes:
    """The hash under which failures of a user's name or of an address are counted."""
    return hashlib.sha256(f"{kind}\0{value}".encode(errors="surrogatepass")).digest()


def count(connection: Connection, counted: dict[bytes, int], now: int) -> None:
    """Count a try, which :func:`forgive` takes back when it was right.

    Raises:
        LockedOut: not before some time has passed.
    """
    _sweep(connection, now)
    for one in sorted(counted):  # always in this order: nobody waits for somebody who waits for him
        failures, locked_until = _locked(connection, one, now)
        if locked_until > now:
            raise LockedOut(-(-(locked_until - now) // SECOND))
        failures += 1
        until = now + delay(failures - counted[one]) if failures >= counted[one] else 0
        values = {"count": failures, "last_at": now, "locked_until": until}
        connection.execute(update(LOGIN_FAILURES).where(LOGIN_FAILURES.c.subject == one).values(**values))


def delay(beyond: int) -> int:
    """Microseconds to wait after so many failures more than are free."""
    return min(LONGEST_DELAY, FIRST_DELAY << min(beyond, 20))


def forgive(connection: Connection, name: str, address: str, now: int) -> None:
    """The try was right: forget the name's failures, and this one try of the address."""
    forget(connection, name)
    if not address:
        return
    there = subject("address", address)
    failures, _ = _locked(connection, there, now)
    values = {"count": max(0, failures - 1)} | ({"locked_until": 0} if failures <= FREE["address"] else {})
    connection.execute(update(LOGIN_FAILURES).where(LOGIN_FAILURES.c.subject == there).values(**values))


def forget(connection: Connection, name: str) -> None:
    """Let the user called ``name`` try again at once."""
    connection.execute(delete(LOGIN_FAILURES).where(LOGIN_FAILURES.c.subject == subject("user", name)))


def _locked(connection: Connection, one: bytes, now: int) -> tuple[int, int]:
    """The failures that count and the end of the delay; the row is there and ours until the transaction ends."""
    query = select(LOGIN_FAILURES.c.count, LOGIN_FAILURES.c.last_at, LOGIN_FAILURES.c.locked_until)
    query = query.where(LOGIN_FAILURES.c.subject == one).with_for_update()
    row = connection.execute(query).first()
    if row is None:
        try:
            with connection.begin_nested():
                new = {"subject": one, "count": 0, "last_at": now, "locked_until": 0}
                connection.execute(insert(LOGIN_FAILURES), new)
        except IntegrityError:  # somebody else was faster
            row = connection.execute(query).first()
    if row is None:
        return 0, 0
    failures, last_at, locked_until = row
    return (0, 0) if last_at + WINDOW < now else (failures, locked_until)


def _sweep(connection: Connection, now: int) -> None:
    """End some rows that are forgotten: guessing at random names must not fill the table."""
    old = select(LOGIN_FAILURES.c.subject).where(LOGIN_FAILURES.c.last_at < now - WINDOW)
    query = old.order_by(LOGIN_FAILURES.c.last_at).limit(_SWEPT).with_for_update(skip_locked=True)
    gone = [row[0] for row in connection.execute(query)]
    if gone:
        connection.execute(delete(LOGIN_FAILURES).where(LOGIN_FAILURES.c.subject.in_(gone)))
