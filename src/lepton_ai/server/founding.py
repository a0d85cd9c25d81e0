"""``lepton server init``: a folder, the tables, the server's own key, the first administrator."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from lepton_ai.catalog import passwords, people
from lepton_ai.catalog.database import Catalog
from lepton_ai.errors import AlreadyExists, Forbidden, Unauthenticated
from lepton_ai.server.own_key import check_own_key
from lepton_ai.server.running import try_objects
from lepton_ai.server.settings import CATALOG, FILE, OBJECTS, ServerSettings
from lepton_ai.store.durable import make_folder, storage_errors, write_file, write_new_file
from lepton_ai.store.seal.contract import KEY_SIZE
from lepton_ai.store.seal.texts import key_file_text

KEPT = ("database", "objects", "host", "port", "tls_cert", "tls_key", "hosts", "proxies", "root_path")
"""Settings that ``server.json`` begins with, as far as they are not the defaults."""


def found(settings: ServerSettings, admin: str, password: str) -> None:
    """Make the server's folder, with ``admin`` as its first administrator. What was begun before is gone on with.

    On a database that other servers use already, ``admin`` has to be an administrator there.

    Raises:
        AlreadyExists: there is a server in the folder.
        UsageError: the name or the password may not be chosen.
        KeyMissing: other servers use the database, and the key file is not theirs.
        Unauthenticated, Forbidden: they do, and do not know ``admin`` as an administrator.
        LeptonError: database or object store cannot be used.
    """
    folder = settings.folder
    refuse(folder)
    people.check_name(admin)
    passwords.check(password, admin)
    _keep_to_itself(settings)
    try_objects(settings)
    migrate(settings)
    catalog = Catalog(settings.database_url)
    try:
        check_own_key(catalog, settings.key_file)
        _first(catalog, admin, password, embedded=not settings.database)
        make_key(settings.key_file)
    finally:
        catalog.close()
    with storage_errors(folder / FILE):
        write_file(folder / FILE, _kept(settings), 0o600)  # the last: it says that all the rest is there


def exists(folder: Path) -> bool:
    """Whether ``folder`` is a server's."""
    return (folder / FILE).exists()


def refuse(folder: Path) -> None:
    """Make no second server in ``folder``.

    Raises:
        AlreadyExists.
    """
    if exists(folder):
        raise AlreadyExists(f"there is a server in {folder} already", hint=f"lepton server start {folder}")


def migrate(settings: ServerSettings) -> None:
    """Bring the tables to the newest form; a copy of what was there is kept before each step.

    Raises:
        TooNew, Damaged, StorageFailed: see :meth:`lepton_ai.catalog.database.Catalog.migrate`.
    """
    catalog = Catalog(settings.database_url, backups=settings.folder / "backups")
    try:
        catalog.migrate()
    finally:
        catalog.close()


def make_key(place: Path) -> None:
    """Make the key that wraps the repository keys which the server holds, if it is not there.

    Raises:
        StorageFailed.
    """
    with storage_errors(place):
        make_folder(place.parent, 0o700)
        if not place.exists():
            write_new_file(place, key_file_text(os.urandom(KEY_SIZE), "server").encode(), 0o600)


def _keep_to_itself(settings: ServerSettings) -> None:
    """Nobody else on the machine may look into what is made, also in a folder that was there and that others enter."""
    folder = settings.folder
    with storage_errors(folder):
        make_folder(folder, 0o700)
        if not settings.objects:
            make_folder(folder / OBJECTS, 0o700)
        if not settings.database:
            os.close(os.open(folder / CATALOG, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _first(catalog: Catalog, admin: str, password: str, *, embedded: bool) -> None:
    if embedded or not people.count(catalog):
        try:
            people.add_user(catalog, admin, password, admin=True)
        except AlreadyExists:  # an earlier init was cut off
            people.set_password(catalog, admin, password)
        return
    try:
        user = people.check_password(catalog, admin, password)
    except Unauthenticated as problem:
        hint = "other servers use this database: name an administrator of theirs, with the password"
        raise Unauthenticated(problem.message, hint=hint) from problem
    if not user.admin:
        raise Forbidden(f"{admin} is no administrator there", hint="name one who is")


def _kept(settings: ServerSettings) -> bytes:
    plain = msgspec.to_builtins(settings, enc_hook=str)
    default = msgspec.to_builtins(ServerSettings(folder=settings.folder), enc_hook=str)
    kept = {name: plain[name] for name in KEPT if plain[name] != default[name]}
    return msgspec.json.format(msgspec.json.encode(kept)) + b"\n"
