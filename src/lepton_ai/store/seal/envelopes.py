"""The files in ``.lepton/keys``: the repository's keys under a master key, the master key in envelopes.

One file is one key or one envelope and is never rewritten, so that processes which add some at once lose nothing::

    id.json              the id key, sealed with the master key
    sealing-<id>.json    a sealing key, sealed with the master key; the one with the highest number is current
    envelope-<name>.json the master key, sealed with a key that comes from a key file, recovery key or passphrase
    plain.json           the id key in clear: a repository without encryption
"""

from __future__ import annotations

import os
import time
import unicodedata
from pathlib import Path
from typing import TypeVar

import msgspec
from blake3 import blake3

from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged, LeptonError, StorageFailed, TooNew, Unsupported
from lepton_ai.store.durable import storage_errors, write_file

FORMAT = 1
BY_KEY_FILE, BY_RECOVERY, BY_PASSPHRASE = "key-file", "recovery", "passphrase"

_MEMORY_KIB, _ITERATIONS, _LANES = 1 << 16, 3, 4
"""argon2id, the second choice that RFC 9106 recommends."""

_LARGEST_MEMORY_KIB, _LARGEST_ITERATIONS, _LARGEST_LANES = 1 << 21, 100, 64


class SealedKey(msgspec.Struct, frozen=True):
    """``id.json`` and ``sealing-*.json``. ``id`` is hexadecimal, empty for the id key; ``number`` orders them."""

    format: int
    purpose: str
    repository: str
    id: str
    number: int
    nonce: bytes
    sealed: bytes


class Argon2id(msgspec.Struct, frozen=True):
    """How a passphrase becomes a key; ``memory`` in KiB."""

    salt: bytes
    memory: int = _MEMORY_KIB
    iterations: int = _ITERATIONS
    lanes: int = _LANES


class Envelope(msgspec.Struct, frozen=True):
    """``envelope-*.json``: the master key, sealed. ``created_at`` in seconds since 1970."""

    format: int
    kind: str
    repository: str
    created_at: int
    nonce: bytes
    sealed: bytes
    argon2id: Argon2id | None = None


class PlainKey(msgspec.Struct, frozen=True):
    """``plain.json``."""

    format: int
    repository: str
    id_key: bytes


File = TypeVar("File", SealedKey, Envelope, PlainKey)


def read(path: Path, kind: type[File]) -> File:
    """A file of the folder.

    Raises:
        Damaged, TooNew, StorageFailed.
    """
    with storage_errors(path):
        data = path.read_bytes()
    try:
        if msgspec.json.decode(data, type=ready(_Versioned)).format > FORMAT:
            raise TooNew(f"{path} was written by a later version", hint="upgrade lepton-ai")
        return msgspec.json.decode(data, type=ready(kind))
    except msgspec.DecodeError as error:
        raise Damaged(f"{path} is damaged: {error}") from error


class _Versioned(msgspec.Struct):
    format: int


def envelopes(folder: Path) -> dict[str, Envelope | LeptonError]:
    """Every envelope by its name, or what is wrong with it: one of them must not lock everybody out.

    Raises:
        StorageFailed: the folder cannot be read.
    """
    with storage_errors(folder):
        paths = sorted(folder.glob("envelope-*.json"))
    found: dict[str, Envelope | LeptonError] = {}
    for path in paths:
        name = path.stem.removeprefix("envelope-")
        try:
            found[name] = read(path, Envelope)
        except (Damaged, TooNew, StorageFailed) as problem:
            found[name] = problem
    return found


def write(path: Path, file: SealedKey | Envelope | PlainKey) -> None:
    """Write a file of the folder, durably."""
    write_file(path, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")


def seal_key(
    master: bytes, key: bytes, purpose: str, repository: str, id_: str = "", number: int = 0
) -> SealedKey:
    """Seal a key with the master key."""
    nonce = os.urandom(12)
    label = _label("key", purpose, repository, id_, str(number))
    return SealedKey(FORMAT, purpose, repository, id_, number, nonce, _encrypt(master, nonce, key, label))


def open_key(master: bytes, file: SealedKey) -> bytes | None:
    """The key; None when the master key is another one."""
    label = _label("key", file.purpose, file.repository, file.id, str(file.number))
    return _decrypt(master, file.nonce, file.sealed, label)


def wrap(master: bytes, kind: str, repository: str, secret: bytes) -> Envelope:
    """Put the master key into an envelope that ``secret`` opens."""
    how = Argon2id(os.urandom(16)) if kind == BY_PASSPHRASE else None
    nonce = os.urandom(12)
    sealed = _encrypt(_wrapping_key(kind, secret, how), nonce, master, _label("envelope", kind, repository))
    return Envelope(FORMAT, kind, repository, int(time.time()), nonce, sealed, how)


def unwrap(envelope: Envelope, secret: bytes) -> bytes | None:
    """The master key; None when ``secret`` does not fit."""
    key = _wrapping_key(envelope.kind, secret, envelope.argon2id)
    return _decrypt(
        key, envelope.nonce, envelope.sealed, _label("envelope", envelope.kind, envelope.repository)
    )


def passphrase_secret(passphrase: str) -> bytes:
    """A passphrase as bytes, the same on every keyboard and system."""
    return unicodedata.normalize("NFC", passphrase).encode()


def _label(*parts: str) -> bytes:
    return "\0".join(("lepton-ai", str(FORMAT), *parts)).encode()


def _wrapping_key(kind: str, secret: bytes, how: Argon2id | None) -> bytes:
    if kind != BY_PASSPHRASE:
        return blake3(secret, derive_key_context=f"lepton-ai 2026-11 envelope {kind}").digest()
    if how is None or not (
        how.memory <= _LARGEST_MEMORY_KIB
        and how.iterations <= _LARGEST_ITERATIONS
        and how.lanes <= _LARGEST_LANES
    ):
        raise Damaged("the envelope of the passphrase makes no sense")
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.kdf.argon2 import Argon2id as Derivation

    try:
        return Derivation(
            salt=how.salt, length=32, iterations=how.iterations, lanes=how.lanes, memory_cost=how.memory
        ).derive(secret)
    except UnsupportedAlgorithm as error:
        raise Unsupported("Passphrases need OpenSSL 3.2 or later.", hint="use a key file instead") from error
    except (ValueError, OverflowError) as error:
        raise Damaged("the envelope of the passphrase makes no sense") from error


def _encrypt(key: bytes, nonce: bytes, data: bytes, label: bytes) -> bytes:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key).encrypt(nonce, data, label)


def _decrypt(key: bytes, nonce: bytes, data: bytes, label: bytes) -> bytes | None:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(nonce, data, label)
    except (InvalidTag, ValueError):  # ValueError: a nonce of a length that there is not
        return None
