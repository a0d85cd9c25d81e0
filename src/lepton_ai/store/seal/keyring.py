"""The repository's keys: made, wrapped in envelopes, opened, rotated."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

from lepton_ai.errors import (
    AlreadyExists,
    Damaged,
    InUse,
    InvalidName,
    KeyMissing,
    LeptonError,
    NotFound,
    TooNew,
    Unsupported,
)
from lepton_ai.store.durable import make_folder, storage_errors, write_new_file
from lepton_ai.store.seal.aesgcm import AesGcmSeal
from lepton_ai.store.seal.contract import KEY_SIZE, Seal
from lepton_ai.store.seal.envelopes import (
    BY_KEY_FILE,
    BY_PASSPHRASE,
    BY_RECOVERY,
    FORMAT,
    Envelope,
    PlainKey,
    SealedKey,
    envelopes,
    open_key,
    passphrase_secret,
    read,
    seal_key,
    unwrap,
    wrap,
    write,
)
from lepton_ai.store.seal.plain import PlainSeal
from lepton_ai.store.seal.texts import (
    RECOVERY,
    RECOVERY_SIZE,
    key_file_text,
    parse_key_text,
    recovery_key,
    recovery_text,
)

KEY_FILE_VARIABLE = "LEPTON_AI_KEY_FILE"
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PLAIN_SEAL = PlainSeal()


class Keyring:
    """The id key and the sealing keys of one repository, opened; ``folder`` is its ``.lepton/keys``."""

    def __init__(self, folder: Path, repository_id: str, id_key: bytes, master: bytes | None) -> None:
        self.folder = folder
        self.repository_id = repository_id
        self._id_key = id_key
        self._master = master
        self._seals: dict[bytes, Seal] = {}
        self._current: Seal = _PLAIN_SEAL
        self._number = 0
        if master is not None:
            self._load()

    @property
    def id_key(self) -> bytes:
        """32 bytes that key the block ids; never rotates."""
        return self._id_key

    @property
    def encrypted(self) -> bool:
        """Whether new objects are encrypted."""
        return self._master is not None

    @property
    def current(self) -> Seal:
        """The seal for new objects."""
        return self._current

    def opener(self, number: int, key_id: bytes) -> Seal:
        """The seal that an object's header names.

        Raises:
            KeyMissing: its key is not among ours, also not since another process rotated.
            TooNew: no such kind of seal is known here.
        """
        if number == _PLAIN_SEAL.number:
            return _PLAIN_SEAL
        if number != AesGcmSeal.number:
            raise TooNew(f"seal {number} is not known here", hint="upgrade lepton-ai")
        if key_id not in self._seals and _sealing_path(self.folder, key_id.hex()).exists():
            self._load()
        if key_id not in self._seals:
            raise KeyMissing(f"The sealing key {key_id.hex()} is not in {self.folder}.")
        return self._seals[key_id]

    def _load(self) -> None:
        """Open every sealing key in the folder."""
        newest = (0, "")
        with storage_errors(self.folder):
            paths = sorted(self.folder.glob("sealing-*.json"))
        for path in paths:
            file = read(path, SealedKey)
            key = open_key(self._secret, file) if file.purpose == "sealing" else None
            if key is None or len(key) != KEY_SIZE:
                raise Damaged(f"{path} is damaged or of another repository.")
            key_id = bytes.fromhex(file.id)
            seal = self._seals.setdefault(key_id, AesGcmSeal(key, key_id))
            if (file.number, file.id) > newest:
                newest, self._current = (file.number, file.id), seal
        if not self._seals:
            raise Damaged(f"There is no sealing key in {self.folder}.")
        self._number = newest[0]

    @property
    def _secret(self) -> bytes:
        if self._master is None:
            raise Unsupported("This repository is not encrypted, so it has no keys to wrap or rotate.")
        return self._master

    def hand_over(self) -> bytes:
        """The master key itself, for whoever is to open the repository too: a server, a clone. Keep it off every log.

        Raises:
            Unsupported: nothing is encrypted.
        """
        return self._secret

    @classmethod
    def create(cls, folder: Path, repository_id: str, *, encrypt: bool = True) -> Keyring:
        """Make new random keys. Nothing opens them again until one of the ``wrap_with_*`` was called.

        Raises:
            AlreadyExists: there are keys in ``folder``.
            NoSpace, StorageFailed.
        """
        if not _ID.fullmatch(repository_id):
            raise InvalidName(f"{repository_id!r} is no id of a repository.")
        with storage_errors(folder):
            make_folder(folder)
            if any(folder.glob("*.json")):
                raise AlreadyExists(f"There are keys in {folder} already.")
        id_key = os.urandom(KEY_SIZE)
        if not encrypt:
            write(folder / "plain.json", PlainKey(FORMAT, repository_id, id_key))
            return cls(folder, repository_id, id_key, None)
        master = os.urandom(KEY_SIZE)
        _add_sealing_key(folder, repository_id, master, 1)
        write(folder / "id.json", seal_key(master, id_key, "id", repository_id))
        return cls(folder, repository_id, id_key, master)

    def wrap_with_key_file(self, path: Path | None = None, *, name: str = BY_KEY_FILE) -> Path:
        """Let a key file open this ring: one that is there already, else a new one; its path.

        The default is a file of its own in the user's config folder. A file at ``path`` that is a key file already is
        used as it is: one key may open several repositories.

        Raises:
            AlreadyExists: an envelope of this name is there, ``path`` is a recovery key, or it fits already.
            KeyMissing: ``path`` is neither a key file nor absent.
            Unsupported: nothing is encrypted.
        """
        envelope, master = self._place(name), self._secret
        place = path or default_key_file(self.repository_id)
        with storage_errors(place):
            if path is None:
                make_folder(place.parent, 0o700)
                place.parent.chmod(0o700)
            present = place.read_text("utf-8", "replace") if place.exists() else None
        if present is not None:
            kind, _, secret = parse_key_text(present, str(place))
            if kind == RECOVERY:
                raise AlreadyExists(
                    f"{place} is a recovery key, not a key file", hint="name another file for the key"
                )
            known, problems = _envelopes(self.folder)
            if _try(known, BY_KEY_FILE, secret, problems) is not None:
                raise AlreadyExists(f"{place} opens the repository already", hint="name another file")
        else:
            secret = os.urandom(KEY_SIZE)
            write_new_file(place, key_file_text(secret, self.repository_id).encode(), 0o600)
        write(envelope, wrap(master, BY_KEY_FILE, self.repository_id, secret))
        return place

    def wrap_with_recovery_key(self, path: Path, *, name: str = BY_RECOVERY) -> str:
        """Make a recovery key, write it to the file ``path`` and return it.

        Raises:
            AlreadyExists: the file or an envelope of this name is there.
        """
        envelope = self._place(name)
        secret = os.urandom(RECOVERY_SIZE)
        write_new_file(path, recovery_text(secret, self.repository_id).encode(), 0o600)
        write(envelope, wrap(self._secret, BY_RECOVERY, self.repository_id, secret))
        return recovery_key(secret)

    def wrap_with_passphrase(self, passphrase: str, *, name: str = BY_PASSPHRASE) -> None:
        """Let a passphrase open this ring.

        Raises:
            AlreadyExists: an envelope of this name is there.
        """
        envelope = self._place(name)
        secret = passphrase_secret(passphrase)
        write(envelope, wrap(self._secret, BY_PASSPHRASE, self.repository_id, secret))

    def _place(self, name: str) -> Path:
        if not _ID.fullmatch(name):
            raise InvalidName(f"{name!r} is no name for an envelope: letters, digits, - and _.")
        path = self.folder / f"envelope-{name}.json"
        if path.exists():
            raise AlreadyExists(
                f"There is an envelope {name!r} already.", hint="give another name, or remove it"
            )
        return path

    def envelopes(self) -> list[str]:
        """Names of the envelopes."""
        return list(envelopes(self.folder))

    def remove_envelope(self, name: str) -> None:
        """Remove one. Whoever opened it before may have kept the keys: this takes nothing back.

        Raises:
            NotFound: there is none of this name.
            InUse: it is the last one that can be read.
        """
        found = envelopes(self.folder)
        if name not in found:
            raise NotFound(f"There is no envelope {name!r}.", hint=f"there are: {', '.join(found)}")
        if not any(isinstance(other, Envelope) for key, other in found.items() if key != name):
            raise InUse("The last envelope stays: without it nobody could open the repository.")
        path = self.folder / f"envelope-{name}.json"
        with storage_errors(path):
            path.unlink(missing_ok=True)

    def rotate(self) -> str:
        """Add a new sealing key and seal with it from now on; its id. Old keys still open what they sealed."""
        id_ = _add_sealing_key(self.folder, self.repository_id, self._secret, self._number + 1)
        self._load()
        return id_


def _add_sealing_key(folder: Path, repository_id: str, master: bytes, number: int) -> str:
    id_ = os.urandom(8).hex()
    file = seal_key(master, os.urandom(KEY_SIZE), "sealing", repository_id, id_, number)
    write(_sealing_path(folder, id_), file)
    return id_


def _sealing_path(folder: Path, id_: str) -> Path:
    return folder / f"sealing-{id_}.json"


def default_key_file(repository_id: str) -> Path:
    """Where this user's key file for a repository is kept."""
    from platformdirs import user_config_path

    return user_config_path("lepton-ai", appauthor=False) / "keys" / f"{repository_id}.key"


def received(folder: Path, repository_id: str, master: bytes) -> Keyring:
    """Open the keys in ``folder`` with a master key that was handed over; ``wrap_with_key_file`` then keeps it.

    Raises:
        Damaged: it is not theirs. TooNew, StorageFailed.
    """
    if len(master) != KEY_SIZE:
        raise Damaged(f"what was received as the key of the repository {repository_id} is none.")
    return _open(folder, repository_id, master)


def open_keys(
    folder: Path,
    repository_id: str,
    *,
    passphrase: str | Callable[[], str] | None = None,
    key_file: Path | None = None,
) -> Keyring:
    """Open the keys in ``folder``: by the default key file, or the one that LEPTON_AI_KEY_FILE names in its place.

    Else by the passphrase. ``key_file`` (a server's own) is tried instead of both.

    ``passphrase`` may be a function that asks; it is called only when there is an envelope for one.

    Raises:
        KeyMissing: none fits; says what to do.
        Damaged, TooNew, StorageFailed.
    """
    if (folder / "plain.json").exists() and not (folder / "id.json").exists():
        plain = read(folder / "plain.json", PlainKey)
        if len(plain.id_key) != KEY_SIZE:
            raise Damaged(f"{folder / 'plain.json'} is damaged.")
        return Keyring(folder, repository_id, plain.id_key, None)
    known, problems = _envelopes(folder)
    count = len(known) + len(problems)
    tried: list[str] = []
    named = None if key_file else os.environ.get(KEY_FILE_VARIABLE)
    place = key_file or (Path(named).expanduser() if named else default_key_file(repository_id))
    master = _by_file(place, known, tried, problems)
    if master is not None:
        return _open(folder, repository_id, master)
    if passphrase is not None and any(e.kind == BY_PASSPHRASE for e in known):
        secret = passphrase_secret(passphrase if isinstance(passphrase, str) else passphrase())
        master = _try(known, BY_PASSPHRASE, secret, problems)
        if master is not None:
            return _open(folder, repository_id, master)
        tried.append("the passphrase does not fit")
    if problems and len(problems) == count:
        raise problems[0]
    tried += [problem.message.rstrip(".") for problem in problems]
    hint = f"put the key file there, or set {KEY_FILE_VARIABLE} to a key file or a recovery key's file"
    if key_file is not None:
        hint = f"{key_file} has to be the key file that wrapped it"
    elif named:
        hint = f"{KEY_FILE_VARIABLE} names that file: correct it, or unset it to use your own key file"
    raise KeyMissing(f"No key opens the repository {repository_id}: {'; '.join(tried)}.", hint=hint)


def _envelopes(folder: Path) -> tuple[list[Envelope], list[LeptonError]]:
    """The envelopes that can be read, and what is wrong with the others."""
    found = envelopes(folder).values()
    return [e for e in found if isinstance(e, Envelope)], [e for e in found if isinstance(e, LeptonError)]


def _by_file(
    place: Path, known: list[Envelope], tried: list[str], problems: list[LeptonError]
) -> bytes | None:
    """The master key by a key file or recovery-key file; or why not, appended to ``tried``."""
    try:
        with storage_errors(place):
            text = place.read_bytes().decode("utf-8", "replace") if place.exists() else None
        if text is None:
            tried.append(f"there is no {place}")
            return None
        kind, _, secret = parse_key_text(text, str(place))
    except KeyMissing as error:
        tried.append(error.message.rstrip("."))
        return None
    master = _try(known, BY_RECOVERY if kind == RECOVERY else BY_KEY_FILE, secret, problems)
    if master is None:
        tried.append(f"{place} is not for it")
    return master


def _try(known: list[Envelope], kind: str, secret: bytes, problems: list[LeptonError]) -> bytes | None:
    """The master key from the first envelope that opens; ``problems`` gets what is wrong with senseless ones."""
    for envelope in known:
        if envelope.kind != kind:
            continue
        try:
            master = unwrap(envelope, secret)
        except Damaged as problem:
            problems.append(problem)
            continue
        if master is not None:
            return master
    return None


def _open(folder: Path, repository_id: str, master: bytes) -> Keyring:
    path = folder / "id.json"
    file = read(path, SealedKey)
    id_key = open_key(master, file) if file.purpose == "id" else None
    if id_key is None or len(id_key) != KEY_SIZE:
        raise Damaged(f"{path} is damaged or of another repository.")
    return Keyring(folder, repository_id, id_key, master)
