"""Secrets that a person gives: typed without showing them, or from stdin."""

from __future__ import annotations

import getpass
import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.store.seal.keyring import KEY_FILE_VARIABLE
from lepton_ai.store.seal.texts import parse_recovery_key, recovery_text


def passphrase(*, stdin: bool, twice: bool) -> str:
    """A passphrase from stdin, or asked for without showing it.

    Raises:
        UsageError: it is empty, or the two are not equal, or there is nobody to ask.
    """
    if stdin:
        given = sys.stdin.readline().rstrip("\n")
    elif not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the passphrase", hint="use --passphrase-stdin")
    else:
        given = getpass.getpass("Passphrase: ")
        if twice and getpass.getpass("Again: ") != given:
            raise UsageError("the two passphrases differ", hint="type it again")
    if not given:
        raise UsageError("the passphrase is empty", hint="choose a long one")
    return given


def password(*, stdin: bool, twice: bool, whose: str = "") -> str:
    """A password from stdin, or asked for without showing it. Spaces belong to it.

    Raises:
        UsageError: it is empty, or the two are not equal, or there is nobody to ask.
    """
    if stdin:
        given = sys.stdin.readline().rstrip("\r\n")
    elif not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask for the password", hint="use --password-stdin")
    else:
        given = getpass.getpass(f"Password of {whose}: " if whose else "Password: ")
        if twice and getpass.getpass("Again: ") != given:
            raise UsageError("the two passwords differ", hint="type it again")
    if not given:
        hint = "there is no default one: choose a long one" if twice else None
        raise UsageError("the password is empty", hint=hint)
    return given


@contextmanager
def recovery_file(name: str, repository_id: str) -> Iterator[Path]:
    """The file with the recovery key; for "-" a private one with the key that is typed.

    Raises:
        NotFound: there is no such file.
    """
    if name != "-":
        place = Path(name).expanduser()
        if not place.exists():
            raise NotFound(f"there is no file {place}", hint="check the path")
        yield place
        return
    if sys.stdin.isatty():
        sys.stderr.write("Recovery key: ")
    secret = parse_recovery_key(sys.stdin.readline().strip())
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "typed.recovery"
        place.write_text(recovery_text(secret, repository_id), encoding="utf-8")
        yield place


@contextmanager
def key_file(place: Path) -> Iterator[None]:
    """Let ``place`` be the key file that opens repositories meanwhile."""
    before = os.environ.get(KEY_FILE_VARIABLE)
    os.environ[KEY_FILE_VARIABLE] = str(place)
    try:
        yield
    finally:
        os.environ.pop(KEY_FILE_VARIABLE)
        if before is not None:
            os.environ[KEY_FILE_VARIABLE] = before
