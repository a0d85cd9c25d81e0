"""What databases and their drivers complain about, said as our errors. No error of a driver leaves the catalog."""

from __future__ import annotations

import re
import sqlite3

from sqlalchemy import exc

from lepton_ai.errors import Busy, Damaged, LeptonError, NoSpace, StorageFailed

_SQLITE_BUSY = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_PROTOCOL}
_SQLITE_DAMAGE = {
    sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT, sqlite3.SQLITE_MISMATCH,
}  # fmt: skip
_AGAIN = {"40001", "40P01", "1213", "1020", "3572"}
"""Deadlocks and transactions that cannot be put in a row: nothing happened, the same once more may work."""
_BUSY = {"55P03", "57014", "53300", "1205", "1040", "1203", "3024", "1969"}
_CROWDED = re.compile(
    r"too many (clients|connections)|remaining connection slots|Too many connections|max_user_connections"
)
_FULL = {"53100", "1114", "1021", "3"}
_LOST = {"57P01", "57P02", "57P03", "2002", "2003", "2006", "2013", "2055", "4031", "1053", "1927", "0"}
_REFUSED = {"28000", "28P01", "3D000", "1044", "1045", "1049", "1698", "42501", "1142"}
_TABLES = {"42P01", "42703", "1146", "1054"}
_LARGE = {"1153", "54000", "1118"}


def is_deadlock(problem: BaseException) -> bool:
    """Whether the transaction was undone for the sake of another one, and may simply be repeated."""
    return isinstance(problem, exc.DBAPIError) and _code(problem) in _AGAIN


def is_lost(problem: BaseException) -> bool:
    """Whether the connection to the database broke."""
    if not isinstance(problem, exc.DBAPIError) or isinstance(problem.orig, sqlite3.Error):
        return False
    return problem.connection_invalidated or _code(problem) in _LOST or _code(problem).startswith("08")


def explain(problem: Exception, where: str) -> LeptonError:  # noqa: PLR0911  (a table of answers)
    """The error to raise instead of ``problem``, which came from the database ``where``."""
    if isinstance(problem, exc.TimeoutError):
        return Busy(f"all connections to {where} are in use", hint="repeat later, or allow more connections")
    if not isinstance(problem, exc.DBAPIError):
        return StorageFailed(f"the database {where} cannot be used: {_first_line(problem)}")
    if isinstance(problem.orig, sqlite3.Error):
        return _explain_sqlite(problem.orig, where)
    code, said = _code(problem), _first_line(problem.orig or problem)
    if code in _AGAIN | _BUSY or _CROWDED.search(said):
        return _busy(said, where)
    if code in _FULL:
        return NoSpace(
            f"the disk of the database {where} is full: {said}", hint="free some space, then repeat"
        )
    if code in _TABLES:
        return Damaged(
            f"the database {where} has not the tables that belong there: {said}",
            hint="lepton server start brings an older one up to date",
        )
    if code in _LARGE:
        return StorageFailed(
            f"the database {where} does not take values that large: {said}",
            hint="for MySQL and MariaDB raise max_allowed_packet",
        )
    if code in _REFUSED:
        return StorageFailed(
            f"the database {where} refused: {said}",
            hint="check user, password, rights and the database's name",
        )
    if is_lost(problem) or isinstance(problem, exc.OperationalError):
        return StorageFailed(
            f"the database {where} does not answer: {said}", hint="see that it runs and can be reached"
        )
    return StorageFailed(f"the database {where} failed: {said}")


def unknown_outcome(where: str) -> StorageFailed:
    """The error of a commit whose answer never came."""
    return StorageFailed(
        f"the connection to {where} broke during a commit; whether it counts is not known",
        hint="read again before you repeat it",
    )


def _busy(said: str, where: str) -> Busy:
    if _CROWDED.search(said):  # PostgreSQL's driver hands on no code when it was not let in
        return Busy(
            f"the database {where} takes no more connections: {said}",
            hint="set a smaller `connections` in server.json, or raise the database's max_connections",
        )
    return Busy(f"the database {where} is busy: {said}", hint="repeat later")


def _explain_sqlite(problem: sqlite3.Error, where: str) -> LeptonError:
    code = (getattr(problem, "sqlite_errorcode", None) or 0) & 0xFF
    if code in _SQLITE_BUSY:
        return Busy(f"the catalog {where} is busy: another process kept it too long", hint="repeat later")
    if code == sqlite3.SQLITE_FULL:
        return NoSpace(
            f"the disk with {where} is full; nothing was changed", hint="free some space, then repeat"
        )
    if code in _SQLITE_DAMAGE or "no such table" in str(problem):
        return Damaged(
            f"the catalog {where} is damaged: {problem}", hint="put it aside, then restore a backup"
        )
    return StorageFailed(
        f"the file system refused {where}: {problem}", hint="check that its folder exists and may be written"
    )


def _code(problem: exc.DBAPIError) -> str:
    """SQLSTATE of PostgreSQL, the error number of MySQL; "" when there is none."""
    arguments = getattr(problem.orig, "args", ())
    if arguments and isinstance(arguments[0], int):
        return str(arguments[0])
    return str(getattr(problem.orig, "sqlstate", None) or "")


def _first_line(problem: BaseException) -> str:
    """What the database said, without the statement and its values."""
    arguments = problem.args
    said = str(arguments[1] if len(arguments) > 1 and isinstance(arguments[0], int) else problem)
    return said.strip().splitlines()[0] if said.strip() else type(problem).__name__
