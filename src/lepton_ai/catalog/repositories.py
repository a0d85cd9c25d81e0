"""The repositories of a server: made, found, listed, changed, removed, and their wrapped keys."""

from __future__ import annotations

import secrets
import time
from collections.abc import Sequence
from typing import Any

import msgspec
from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from lepton_ai import wire
from lepton_ai.catalog import committing
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.proposals import block_size, check_description, check_name, moment
from lepton_ai.catalog.tables.repositories import COUNTERS, KEY_FILES, REPOSITORIES
from lepton_ai.catalog.walking import behind
from lepton_ai.errors import AlreadyExists, InUse, LostRace, NotFound
from lepton_ai.history.config import FORMAT
from lepton_ai.history.record import timestamp


class Row(msgspec.Struct, frozen=True):
    """A repository on the server. Times are microseconds since 1970 (UTC); ``id``, ``encrypted``, ``block_size``
    (bytes) and ``format`` are those of its ``config.json``. Its objects are under ``repositories/<place>/``, and nobody
    else's.
    """

    number: int
    owner: str
    name: str
    description: str
    id: str
    place: str
    encrypted: bool
    block_size: int
    format: int
    created_at: int
    created_by: str
    changed_at: int
    edition: int

    @property
    def etag(self) -> str:
        """Changes with what can be changed about it."""
        return f'"{self.number}-{self.edition}"'

    @property
    def created(self) -> str:
        """When it was made, RFC 3339 (as in ``config.json``)."""
        return timestamp(self.created_at)


COLUMNS = tuple(REPOSITORIES.c[name] for name in Row.__struct_fields__)


def create(catalog: Catalog, new: wire.NewRepository, created_by: str) -> Row:
    """Make a repository with its key files; ``new.master`` is for whoever wraps it, and not kept here.

    Raises:
        InvalidName: owner or name has other letters than a-z, A-Z, 0-9, ``.``, ``_`` and ``-``.
        UsageError: ``created_at`` is no time, the description is too long, or blocks cannot have that size.
        AlreadyExists: the owner has one of this name.
    """
    for name, what in ((new.owner, "an owner"), (new.name, "a repository")):
        check_name(name, what)
    now = time.time_ns() // 1000
    values = {
        "owner": new.owner,
        "name": new.name,
        "removed": 0,
        "description": check_description(new.description),
        "id": new.id or secrets.token_hex(16),
        "place": secrets.token_hex(16),
        "encrypted": new.encrypted,
        "block_size": block_size(new.block_size),
        "format": FORMAT,
        "created_at": moment(new.created_at) if new.created_at else now,
        "created_by": created_by,
        "changed_at": now,
        "edition": 1,
    }
    keys = [msgspec.structs.asdict(file) for file in new.keys]

    def act(connection: Connection) -> Row:
        if connection.execute(named(new.owner, new.name)).first():
            raise taken(new.owner, new.name)
        number = _insert(connection, values)
        counters = {"repository": number, "stamp": 0, "logged": 0, "saved": 0, "packed": 0}
        connection.execute(insert(COUNTERS), counters)
        if keys:
            connection.execute(insert(KEY_FILES), [{**file, "repository": number} for file in keys])
        return _row(connection.execute(named(new.owner, new.name)).one())

    return catalog.write(act)


def find(catalog: Catalog, owner: str, name: str) -> Row:
    """The repository ``owner/name``.

    Raises:
        NotFound.
    """
    with catalog.reading() as connection:
        found = connection.execute(named(owner, name)).first()
    if found is None:
        raise NotFound(f"there is no repository {owner}/{name}", hint="lepton remote repositories lists them")
    return _row(found)


def page(
    catalog: Catalog,
    *,
    owner: str | None = None,
    after: tuple[str, str] | None = None,
    limit: int = 100,
) -> list[Row]:
    """Repositories by owner and name (code points); ``after`` (owner, name) continues a page."""
    query = select(*COLUMNS).where(REPOSITORIES.c.removed == 0)
    if owner is not None:
        query = query.where(REPOSITORIES.c.owner == owner)
    with catalog.reading() as connection:
        if after is not None:
            query = query.where(behind(connection, [REPOSITORIES.c.owner, REPOSITORIES.c.name], after))
        found = connection.execute(query.order_by(REPOSITORIES.c.owner, REPOSITORIES.c.name).limit(limit))
        return [_row(row) for row in found]


def change(
    catalog: Catalog,
    number: int,
    *,
    owner: str | None = None,
    name: str | None = None,
    description: str | None = None,
    edition: int | None = None,
) -> Row:
    """Change what is given. ``edition`` is the one that was read: the change is refused when there was another since.

    Raises:
        LostRace: somebody changed it meanwhile.
        NotFound, InvalidName, AlreadyExists. UsageError: the description is too long.
    """
    given = {"owner": owner, "name": name, "description": description}
    values: dict[str, Any] = {key: value for key, value in given.items() if value is not None}
    for key, what in (("owner", "an owner"), ("name", "a repository")):
        if key in values:
            check_name(values[key], what)
    check_description(description or "")

    def act(connection: Connection) -> Row:
        row = _locked(connection, number, edition)
        new = msgspec.structs.replace(row, **values)
        renamed = (new.owner, new.name) != (row.owner, row.name)
        if renamed and connection.execute(named(new.owner, new.name)).first():
            raise taken(new.owner, new.name)
        values["changed_at"], values["edition"] = time.time_ns() // 1000, row.edition + 1
        _update(connection, number, values, new)
        return msgspec.structs.replace(row, **values)

    return catalog.write(act)


def remove(catalog: Catalog, number: int, *, edition: int | None = None) -> None:
    """Remove a repository: from now on nobody finds it or commits to it, and its name is free.

    Its rows and objects are still there, until :mod:`lepton_ai.catalog.purging` ends them. ``edition``: as for
    :func:`change`.

    Raises:
        LostRace, NotFound.
    """

    def act(connection: Connection) -> None:
        _locked(connection, number, edition)
        committing.lock(connection, number)
        connection.execute(delete(COUNTERS).where(COUNTERS.c.repository == number))
        mark = update(REPOSITORIES).where(REPOSITORIES.c.number == number)
        connection.execute(mark.values(removed=number, changed_at=time.time_ns() // 1000))

    catalog.write(act)


def keys(catalog: Catalog, number: int) -> tuple[wire.KeyFile, ...]:
    """The wrapped keys of a repository, by name."""
    query = select(KEY_FILES.c.name, KEY_FILES.c.content).where(KEY_FILES.c.repository == number)
    with catalog.reading() as connection:
        return tuple(wire.KeyFile(*row) for row in connection.execute(query.order_by(KEY_FILES.c.name)))


def newest_key(catalog: Catalog, name: str) -> bytes | None:
    """The wrapped key of this name of the newest repository that has one."""
    query = select(KEY_FILES.c.content).where(KEY_FILES.c.name == name)
    with catalog.reading() as connection:
        found = connection.execute(query.order_by(KEY_FILES.c.repository.desc()).limit(1)).scalar()
    return None if found is None else bytes(found)


def key_names(catalog: Catalog, numbers: Sequence[int]) -> dict[int, list[str]]:
    """The names of the wrapped keys of each of these repositories, in order, in one question."""
    found: dict[int, list[str]] = {number: [] for number in numbers}
    query = select(KEY_FILES.c.repository, KEY_FILES.c.name).where(KEY_FILES.c.repository.in_(sorted(found)))
    with catalog.reading() as connection:
        for number, name in connection.execute(query.order_by(KEY_FILES.c.repository, KEY_FILES.c.name)):
            found[number].append(name)
    return found


def add_key(catalog: Catalog, number: int, file: wire.KeyFile) -> None:
    """Add a wrapped key. One that is there is never replaced: it may be the only way in.

    Raises:
        AlreadyExists: there is another of this name. NotFound: the repository was removed.
    """

    def act(connection: Connection) -> None:
        _locked(connection, number)
        there = connection.execute(select(KEY_FILES.c.content).where(*_key(number, file.name))).scalar()
        if there is None:
            row = {"repository": number, "name": file.name, "content": file.content}
            connection.execute(insert(KEY_FILES), row)
        elif there != file.content:
            raise AlreadyExists(f"there is a key {file.name!r} already", hint="give another name")

    catalog.write(act)


def remove_key(catalog: Catalog, number: int, name: str, *, one_of: str = "") -> None:
    """Remove a wrapped key; with ``one_of`` only while another one is left whose name begins so.

    Raises:
        NotFound: there is none of this name. InUse: it is the last one.
    """
    others = select(KEY_FILES.c.name).where(KEY_FILES.c.repository == number, KEY_FILES.c.name != name)

    def act(connection: Connection) -> None:
        _locked(connection, number)
        if not connection.execute(delete(KEY_FILES).where(*_key(number, name))).rowcount:
            raise NotFound(f"there is no key {name!r}", hint="lepton keys lists them")
        if one_of and not any(row[0].startswith(one_of) for row in connection.execute(others)):
            raise InUse(f"{name!r} is the last of its kind: without it nobody could open the repository")

    catalog.write(act)


def _key(number: int, name: str) -> tuple[Any, Any]:
    return KEY_FILES.c.repository == number, KEY_FILES.c.name == name


def named(owner: str, name: str) -> Select[Any]:
    """The question for the repository of this name that is not removed."""
    return select(*COLUMNS).where(
        REPOSITORIES.c.owner == owner, REPOSITORIES.c.name == name, REPOSITORIES.c.removed == 0
    )


def _locked(connection: Connection, number: int, edition: int | None = None) -> Row:
    query = select(*COLUMNS).where(REPOSITORIES.c.number == number, REPOSITORIES.c.removed == 0)
    found = connection.execute(query.with_for_update(key_share=True)).first()
    if found is None:
        raise NotFound("this repository was removed from the server", hint="ask who removed it")
    row = _row(found)
    if edition is not None and row.edition != edition:
        raise LostRace(
            f"{row.owner}/{row.name} was changed by somebody else meanwhile",
            hint="read it again, then repeat",
        )
    return row


def _insert(connection: Connection, values: dict[str, Any]) -> int:
    try:
        made = connection.execute(insert(REPOSITORIES).values(**values)).inserted_primary_key
    except IntegrityError as problem:
        raise taken(values["owner"], values["name"]) from problem
    assert made is not None  # noqa: S101  (for the type checker)
    return int(made[0])


def _update(connection: Connection, number: int, values: dict[str, Any], new: Row) -> None:
    try:
        connection.execute(update(REPOSITORIES).where(REPOSITORIES.c.number == number).values(**values))
    except IntegrityError as problem:
        raise taken(new.owner, new.name) from problem


def taken(owner: str, name: str) -> AlreadyExists:
    """The error that the name is taken."""
    return AlreadyExists(f"there is a repository {owner}/{name} already", hint="choose another name")


def _row(row: Any) -> Row:
    return Row(*row)
