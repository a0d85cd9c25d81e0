"""Keys that come to the server: checked, and wrapped once more with its own when it is to read."""

from __future__ import annotations

import re
import secrets
import tempfile
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lepton_ai import wire
from lepton_ai.decodable import ready
from lepton_ai.errors import Damaged, InvalidName, UsageError
from lepton_ai.server.homes import ENVELOPE, unpack_keys
from lepton_ai.store.durable import make_folder, storage_errors
from lepton_ai.store.seal.envelopes import Envelope, PlainKey, SealedKey
from lepton_ai.store.seal.keyring import Keyring, received

NAME = re.compile(r"^(id|plain|sealing-[0-9a-f]{1,64}|envelope-[A-Za-z0-9_-]{1,64})\.json$")
LARGEST = 1 << 16
MOST = 1000
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_OWN = "server"


def complete(new: wire.NewRepository, server_key_file: Path) -> wire.NewRepository:
    """The repository with all its key files: new ones, or those that came, and the server's envelope if it may read.

    Raises:
        UsageError, InvalidName: the keys make no sense, or the master key does not open them.
    """
    if new.id is None:
        if new.keys or new.master:
            raise UsageError("keys come without the id of their repository", hint="send its config.json's id")
        return _fresh(new, server_key_file)
    check_given(new)
    if new.master is None:
        return new
    with tempfile.TemporaryDirectory(prefix="lepton-ai-keys-") as scratch:
        folder = Path(scratch) / "keys"
        unpack_keys(folder, new.keys)
        try:
            keyring = received(folder, new.id, new.master)
        except Damaged as problem:
            raise UsageError(f"the master key does not open the keys: {problem.message}") from problem
        return replace(new, keys=_wrapped(keyring, folder, server_key_file), master=None)


def check_given(new: wire.NewRepository) -> None:
    """The keys are those of a repository: its id key, a sealing key, an envelope; or nothing is encrypted."""
    assert new.id is not None  # noqa: S101  (for the type checker)
    if not _ID.fullmatch(new.id):
        raise InvalidName(f"{new.id[:80]!r} is no id of a repository")
    names = {file.name for file in new.keys}
    if len(names) < len(new.keys) or len(names) > MOST:
        raise UsageError("a key file comes twice, or there are too many")
    for file in new.keys:
        check_key_file(new.id, file)
    if ENVELOPE in names:
        raise UsageError(
            f"{ENVELOPE} is the server's own", hint="send the master key for the server to wrap it"
        )
    if new.encrypted:
        kinds = {name.partition("-")[0].removesuffix(".json") for name in names}
        if not {"id", "sealing", "envelope"} <= kinds or "plain" in kinds:
            raise UsageError("an encrypted repository has id.json, a sealing key and an envelope")
    elif names != {"plain.json"} or new.master is not None:
        raise UsageError("a repository without encryption has plain.json, and no other key")


def check_key_file(repository_id: str, file: wire.KeyFile) -> None:
    """A key file is of this repository, and is what its name says."""
    if not NAME.match(file.name) or len(file.content) > LARGEST:
        raise InvalidName(f"{file.name[:80]!r} is no key file")
    stem = file.name.partition("-")[0].removesuffix(".json")
    kind = {"id": SealedKey, "sealing": SealedKey, "plain": PlainKey}.get(stem, Envelope)
    try:
        key = msgspec.json.decode(file.content, type=ready(kind))
    except (msgspec.DecodeError, UnicodeDecodeError) as problem:
        raise UsageError(f"{file.name} cannot be read: {problem}") from problem
    fits = key.repository == repository_id
    if isinstance(key, SealedKey):
        fits = (
            fits
            and key.purpose == stem
            and file.name == (f"sealing-{key.id}.json" if stem != "id" else "id.json")
        )
    if not fits:
        raise UsageError(f"{file.name} is not a key of the repository {repository_id}")


def _fresh(new: wire.NewRepository, server_key_file: Path) -> wire.NewRepository:
    id_ = secrets.token_hex(16)
    with tempfile.TemporaryDirectory(prefix="lepton-ai-keys-") as scratch:
        folder = Path(scratch) / "keys"
        keyring = Keyring.create(folder, id_, encrypt=new.encrypted)
        keys = _wrapped(keyring, folder, server_key_file) if new.encrypted else _files(folder)
    return replace(new, id=id_, keys=keys, master=None)


def _wrapped(keyring: Keyring, folder: Path, server_key_file: Path) -> tuple[wire.KeyFile, ...]:
    with storage_errors(server_key_file):
        make_folder(server_key_file.parent, 0o700)
    keyring.wrap_with_key_file(server_key_file, name=_OWN)
    return _files(folder)


def _files(folder: Path) -> tuple[wire.KeyFile, ...]:
    return tuple(wire.KeyFile(path.name, path.read_bytes()) for path in sorted(folder.glob("*.json")))
