"""The repository's keys: made, wrapped in envelopes, opened, rotated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


class Keyring:
    """The id key and the sealing keys of one repository, opened; ``folder`` is its ``.lepton/keys``."""

    @property
    def id_key(self) -> bytes:
        """32 bytes that key the block ids; never rotates."""
        raise NotImplementedError

    @property
    def encrypted(self) -> bool:
        """Whether new objects are encrypted."""
        raise NotImplementedError

    @classmethod
    def create(cls, folder: Path, repository_id: str, *, encrypt: bool = True) -> Keyring:
        """Make new random keys. Nothing opens them again until one of the ``wrap_with_*`` was called."""
        raise NotImplementedError

    def wrap_with_key_file(self, path: Path | None = None) -> Path:
        """Make a key file (default: in the user's config folder) that opens this ring; its path."""
        raise NotImplementedError

    def wrap_with_recovery_key(self, path: Path) -> str:
        """Make a recovery key, write it to the file ``path`` and return it."""
        raise NotImplementedError

    def wrap_with_passphrase(self, passphrase: str) -> None:
        """Let a passphrase open this ring."""
        raise NotImplementedError

    def envelopes(self) -> list[str]:
        """Names of the envelopes."""
        raise NotImplementedError

    def remove_envelope(self, name: str) -> None:
        """Remove one; the last one stays. Raises: NotFound, InUse."""
        raise NotImplementedError

    def rotate(self) -> str:
        """Add a new sealing key and seal with it from now on; its id. Old keys still open what they sealed."""
        raise NotImplementedError


def open_keys(
    folder: Path, repository_id: str, *, passphrase: str | Callable[[], str] | None = None
) -> Keyring:
    """Open the keys in ``folder``: by LEPTON_AI_KEY_FILE, else the default key file, else the passphrase.

    ``passphrase`` may be a function that asks; it is called only when there is an envelope for one.

    Raises:
        KeyMissing: none fits; says what to do.
    """
    raise NotImplementedError
