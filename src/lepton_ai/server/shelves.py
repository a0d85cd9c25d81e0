"""What a server knows of a repository's packs: where objects are, also without the key."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from functools import cached_property
from itertools import islice
from pathlib import Path

from lepton_ai.errors import KeyMissing
from lepton_ai.history import manifest
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.refs.contract import History
from lepton_ai.history.writing import EPOCH
from lepton_ai.store.contract import Content, PackInfo
from lepton_ai.store.index import Index
from lepton_ai.store.indexfile import owner_of
from lepton_ai.store.routes import Routes

_AT_ONCE = 500


class PackShelf:
    """The packs of one repository. ``readable``: the server holds the key, so manifests can be opened.

    Each server has an index of its own. A pack that another one deleted is noticed by the entries of the history that
    every deletion writes before.
    """

    def __init__(self, home: AnyHome, *, readable: bool) -> None:
        self._home = home
        self._readable = readable
        self._lock = threading.Lock()
        self._seen: frozenset[tuple[str, int]] | None = None

    @cached_property
    def _index(self) -> Index:
        return Index(index_file(self._home.place), self._home.blobs, index_owner(self._home, self._readable))

    @property
    def readable(self) -> bool:
        """Whether the server holds the key."""
        return self._readable

    def missing(self, ids: Iterable[bytes], avoid: Collection[str] = ()) -> set[bytes]:
        """Those of the objects that cannot be read by what the packs' tables say, without the packs ``avoid``."""
        self._look_again(self._home.history)
        lost = self._unroutable(set(ids), avoid)
        if lost:
            self._index.refresh()
            lost = self._unroutable(lost, avoid)
        return lost

    def manifest(self, object_id: bytes) -> Manifest:
        """A manifest, opened.

        Raises:
            KeyMissing: the server does not hold the key.
            Damaged, TooNew.
        """
        if not self._readable:
            raise no_key()
        return manifest.decode(self._home.store.get(object_id))

    def stored_bytes(self, content: Content) -> int:
        """What a file takes in the packs."""
        return self._home.store.stored_bytes([content])

    def refresh(self) -> None:
        """Know exactly the packs that are listed."""
        self._index.refresh()

    def enter(self, info: PackInfo, footer: bytes) -> None:
        """Know a new pack at once."""
        self._index.add([(info, footer)])

    def forget(self, packs: Iterable[str]) -> None:
        """Know no more of packs that are deleted."""
        self._index.forget(packs)

    def close(self) -> None:
        """Close the index."""
        if "_index" in self.__dict__:
            self._index.close()

    def _look_again(self, history: History) -> None:
        """Read the list of packs anew if some were condemned, or acquitted, since it was read."""
        entries = [*history.get([EPOCH]).values(), *history.scan("condemned/")]
        now = frozenset((ref.key, ref.stamp) for ref in entries)
        with self._lock:
            if now != self._seen:
                self._index.refresh()
                self._seen = now

    def _unroutable(self, ids: set[bytes], avoid: Collection[str]) -> set[bytes]:
        lost: set[bytes] = set()
        rest = iter(ids)
        while some := list(islice(rest, _AT_ONCE)):
            routes = Routes(self._index, avoid)
            routes.prepare(some)
            lost.update(id_ for id_ in some if routes.route(id_) is None)
        return lost


def index_file(place: Path) -> Path:
    """The index of a server: the one that the repository's store uses as well."""
    return place / "index.db"


def index_owner(home: AnyHome, readable: bool) -> str:
    """Whose the index is: the store's own mark where the server holds the key."""
    return owner_of(home.keyring.id_key) if readable else f"without key {home.config.id}"


def no_key() -> KeyMissing:
    """The error of what needs plain weights where only clients hold the key."""
    return KeyMissing(
        "this server does not hold the key of this repository, so it cannot look into its files",
        hint="do it where the key is: lepton works through the same address",
    )
