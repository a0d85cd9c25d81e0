"""Who we are at which server: tokens in ``credentials.json`` of the user's config folder, or in the system's keyring.

``LEPTON_AI_TOKEN`` goes before both, at the server that ``LEPTON_AI_TOKEN_FOR`` names or at every one. The file is
readable by its owner only, and written as a whole; two processes that log in at once both stay logged in.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec

from lepton_ai.client import address
from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged
from lepton_ai.store.durable import make_folder, storage_errors, write_file

VARIABLE = "LEPTON_AI_TOKEN"
MEANT = "LEPTON_AI_TOKEN_FOR"
"""The one server that the token is shown to."""
SERVICE = "lepton-ai"
FORMAT = 1


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """A login: the user's name, and the token, or None when the system's keyring keeps it."""

    user: str
    token: str | None = None


class _File(msgspec.Struct, frozen=True):
    servers: dict[str, Entry]
    format: int = FORMAT


def token(server: str) -> str | None:
    """The token for a server (its address as :func:`lepton_ai.client.address.server` writes it); None: not logged in.

    Raises:
        Damaged, StorageFailed.
        UsageError: ``LEPTON_AI_TOKEN_FOR`` is no address.
    """
    return given(server) or kept(server)


def given(server: str) -> str | None:
    """The token that the environment has for a server; None: none, or it is for another one.

    Raises:
        UsageError: ``LEPTON_AI_TOKEN_FOR`` is no address.
    """
    named, only = os.environ.get(VARIABLE), meant()
    return named.strip() if named and (not only or address.server(only) == server) else None


def meant() -> str | None:
    """The one server that the token of the environment is for; None: there is no token, or it is for any."""
    return os.environ.get(MEANT) or None if os.environ.get(VARIABLE) else None


def kept(server: str) -> str | None:
    """The token of the login that is kept, whatever the environment says.

    Raises:
        Damaged, StorageFailed.
    """
    found = entries().get(server)
    if found is None or found.token is not None:
        return found.token if found else None
    return _from_keyring(server)


def entries() -> Mapping[str, Entry]:
    """Every login that is kept, by the server's address.

    Raises:
        Damaged, StorageFailed.
    """
    return _read(_place()).servers


def keep(server: str, user: str, secret: str) -> Path | None:
    """Remember a login; the file that holds the token, or None when the keyring does.

    Raises:
        NoSpace, StorageFailed, Damaged.
    """
    kept = _into_keyring(server, secret)
    entry = Entry(user) if kept else Entry(user, secret)
    place = _place()
    _change(place, lambda servers: {**servers, server: entry})
    return None if kept else place


def forget(server: str) -> bool:
    """Forget a login; whether there was one.

    Raises:
        NoSpace, StorageFailed, Damaged.
    """
    if server not in entries():
        return False
    keyring = _keyring()
    if keyring is not None:
        with suppress(Exception):  # it was not in there
            keyring.delete_password(SERVICE, server)
    _change(_place(), lambda servers: {at: entry for at, entry in servers.items() if at != server})
    return True


def _place() -> Path:
    from platformdirs import user_config_path

    return user_config_path("lepton-ai", appauthor=False) / "credentials.json"


def _read(place: Path) -> _File:
    with storage_errors(place):
        try:
            data = place.read_bytes()
        except FileNotFoundError:
            return _File({})
    try:
        return msgspec.json.decode(data, type=ready(_File))
    except msgspec.MsgspecError as problem:
        raise Damaged(f"{place} cannot be read", hint="remove it, then lepton login again") from problem


def _change(place: Path, to: Callable[[dict[str, Entry]], dict[str, Entry]]) -> None:
    with _alone(place):
        servers = to(dict(_read(place).servers))
        data = msgspec.json.format(msgspec.json.encode(_File(servers), order="sorted")) + b"\n"
        write_file(place, data, 0o600)


@contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Keep other processes from changing the file meanwhile."""
    with storage_errors(place):
        make_folder(place.parent, 0o700)
        descriptor = os.open(place.with_suffix(".lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        with suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _keyring() -> Any:
    """The package ``keyring`` when it is installed and has a place that works; else None."""
    if find_spec("keyring") is None:
        return None
    try:
        found = import_module("keyring")
        return found if found.get_keyring().priority > 0 else None
    except Exception:  # noqa: BLE001  (a desktop's services fail in their own ways: then the file keeps it)
        return None


def _into_keyring(server: str, secret: str) -> bool:
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        keyring.set_password(SERVICE, server, secret)
        return bool(keyring.get_password(SERVICE, server) == secret)
    except Exception:  # noqa: BLE001  (locked, or nobody at the screen: then the file keeps it)
        return False


def _from_keyring(server: str) -> str | None:
    keyring = _keyring()
    try:
        return keyring.get_password(SERVICE, server) if keyring is not None else None
    except Exception:  # noqa: BLE001  (locked: as if not logged in, which says what to do)
        return None
