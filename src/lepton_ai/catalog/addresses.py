"""Addresses of databases: which are understood, and how they are named without their secrets."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from lepton_ai.errors import UsageError

_DRIVERS = {
    "sqlite": "sqlite",
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
}
_FORMS = "sqlite:////folder/catalog.db, postgresql://user:password@host/database, mysql://user:password@host/database"


def parse(text: str) -> URL:
    """The address with our driver; everything after ``?`` (TLS options …) goes to the driver as it is.

    Raises:
        UsageError: it names no database that is understood. The error never repeats the text: a password is in it.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError):
        raise UsageError("the database's address cannot be read", hint=f"write {_FORMS}") from None
    family = url.drivername.partition("+")[0]
    if family not in _DRIVERS:
        raise UsageError(f"{family!r} is no database that is supported", hint=f"write {_FORMS}")
    if family == "sqlite" and url.database in {None, "", ":memory:"}:
        raise UsageError("a catalog on SQLite needs a file", hint="write sqlite:////folder/catalog.db")
    if family != "sqlite" and not url.database:
        raise UsageError("the address names no database on the server", hint=f"write {_FORMS}")
    return url.set(drivername=_DRIVERS[family])


def sqlite_file(url: URL) -> Path | None:
    """The file of an SQLite address; None for a server."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def shown(url: URL) -> str:
    """The address for people: no user, no password, no options."""
    if file := sqlite_file(url):
        return str(file)
    port = f":{url.port}" if url.port else ""
    return f"{url.get_backend_name()}://{url.host or 'localhost'}{port}/{url.database}"
