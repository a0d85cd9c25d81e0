"""What every repository stands on, wherever it is: a history, blobs, keys, and a folder for what may be lost.

:class:`~lepton_ai.history.home.Home` is the one in a folder. A repository at an address, or on a server, has history
and packs elsewhere; its *place* is a cache: ``index.db``, ``tmp/``, ``seen``, ``current`` and unpacked key files.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path

from lepton_ai.errors import Damaged
from lepton_ai.history.config import Config
from lepton_ai.history.heads import Heads
from lepton_ai.history.headstart import HeadStart
from lepton_ai.history.lines import MAIN
from lepton_ai.history.refs.contract import History
from lepton_ai.history.seen import Seen
from lepton_ai.history.staging import READ_ONLY, Staging
from lepton_ai.store.contract import Blobs
from lepton_ai.store.durable import storage_errors, write_file
from lepton_ai.store.reader import Absent
from lepton_ai.store.seal.keyring import Keyring, open_keys
from lepton_ai.store.store import Store


class AnyHome:
    """A repository's history at once, its store and keys when first needed.

    ``place`` is a folder on this machine, ``named`` says for people where the repository is. ``keyring`` opens the keys
    when they are first needed; without it those in ``place/keys`` are opened as this user's.
    """

    frees = True
    """Whether a save may store the newest version whole and free the copies that this makes needless. Else it stores
    the difference to it: where bytes travel, and who saves may not delete packs."""

    def __init__(
        self,
        place: Path,
        config: Config,
        history: History,
        blobs: Blobs,
        *,
        named: str,
        keyring: Callable[[], Keyring] | None = None,
        read_all: bool = False,
    ) -> None:
        self.place = place
        self.config = config
        self.history = history
        self.blobs = blobs
        self.named = named
        self.read_all = read_all
        self.head_start: HeadStart | None = None
        self.absent: Absent | None = None
        """Brings blocks that this home has left elsewhere; to be set before the store is first used."""
        self._open_keys = keyring
        self._staging = Staging(place / "tmp")
        self._staging.sweep()

    @property
    def keys(self) -> Path:
        """The folder of the wrapped keys."""
        return self.place / "keys"

    @cached_property
    def keyring(self) -> Keyring:
        """The repository's keys, opened.

        Raises:
            KeyMissing: none of the keys at hand opens them.
        """
        return self._open_keys() if self._open_keys else open_keys(self.keys, self.config.id)

    @cached_property
    def store(self) -> Store:
        """The repository's blocks."""
        return Store(
            self.blobs,
            self._index(),
            self.keyring,
            self.place / "tmp",
            block_size=self.config.block_size,
            absent=self.absent,
        )

    @cached_property
    def heads(self) -> Heads:
        """Which branches stand on which version."""
        return Heads(self.history)

    def _index(self) -> Path:
        """The index's file, made by us: SQLite would not let the group write. Elsewhere on a read-only medium."""
        file = self.place / "index.db"
        with storage_errors(self.place):
            if file.exists():
                return file
            try:
                file.touch()
            except OSError as problem:
                if problem.errno not in READ_ONLY:
                    raise
                aside = Path(tempfile.mkdtemp(prefix="lepton-ai-index-"))
                weakref.finalize(self, shutil.rmtree, aside, ignore_errors=True)
                return aside / file.name
        return file

    @property
    def is_current(self) -> bool:
        """Whether it is open, and what was opened is still what is there."""
        return not self._staging.closed

    @property
    def current(self) -> str:
        """The branch that is meant when none is named.

        Raises:
            Damaged, StorageFailed.
        """
        file = self.place / "current"
        with storage_errors(file):
            try:
                return file.read_text(encoding="utf-8").strip() or MAIN
            except FileNotFoundError:
                return MAIN
            except UnicodeDecodeError as problem:
                raise Damaged(f"{file} is no name of a branch", hint=f"lepton switch {MAIN}") from problem

    @current.setter
    def current(self, branch: str) -> None:
        write_file(self.place / "current", (branch + "\n").encode())

    def seen(self) -> Seen:
        """The files that need not be read again, as of now; none with ``read_all``."""
        return Seen(self.place / "seen", self.keyring, read_all=self.read_all, head_start=self.head_start)

    def staging(self) -> Path:
        """A new private folder for files on their way; the caller removes it."""
        return self._staging.new()

    @contextmanager
    def staged(self) -> Iterator[Path]:
        """The same for the time of a block."""
        folder = self.staging()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def files(self) -> Iterator[tuple[str, int]]:
        """Every file of it, by its path relative to the place, with its bytes: the packs, and what lies here."""
        yield from ((info.name, info.size) for info in self.blobs.list("packs/"))
        for path in self.place.rglob("*"):
            with suppress(FileNotFoundError):  # gone meanwhile
                name = path.relative_to(self.place).as_posix()
                if path.is_file() and not name.startswith("packs/"):
                    yield name, path.stat().st_size

    def problems(self) -> list[str]:
        """What is wrong with the history's own structure; the database of a server is its owner's to check."""
        return []

    def close(self) -> None:
        """Let go of files and connections."""
        if "store" in self.__dict__:
            self.store.close()
        self.history.close()
        self._staging.close()
