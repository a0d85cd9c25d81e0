"""Repositories of the catalog, opened on this server: the verbs of a repository over history, packs and wrapped keys.

What lies in the cache folder may be lost at any time; other workers of this machine may share it.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from hashlib import sha256
from pathlib import Path

from msgspec.structs import replace

from lepton_ai import wire
from lepton_ai.catalog import repositories
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.packs import Listed
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.repositories import Row
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.config import Config
from lepton_ai.progress import SILENT, Progress
from lepton_ai.repository import ModelRepository
from lepton_ai.server.shelves import PackShelf, no_key
from lepton_ai.server.uploads.contract import PREFIX, Desk
from lepton_ai.server.uploads.direct import Direct
from lepton_ai.server.uploads.folder import FolderDesk
from lepton_ai.server.uploads.objects import ObjectsDesk
from lepton_ai.server.uploads.taking import Taking
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.blobs.under import Under
from lepton_ai.store.contract import Blobs, presigning
from lepton_ai.store.durable import make_folder, storage_errors, write_file
from lepton_ai.store.seal.keyring import Keyring, open_keys

OPEN = 64
"""Repositories that are kept open."""
ENVELOPE = "envelope-server.json"
"""The master key, wrapped with the server's own key file."""
PLAIN = "plain.json"


class Opened:
    """A repository as this server has it open; ``stamp`` is what its files of keys were then."""

    def __init__(self, home: AnyHome, stamp: bytes, taking: Taking, shelf: PackShelf, blobs: Blobs) -> None:
        self.home, self.stamp, self.taking, self.shelf, self.blobs = home, stamp, taking, shelf, blobs

    @property
    def readable(self) -> bool:
        """Whether the server holds the key."""
        return self.shelf.readable

    def release(self) -> None:
        """Let go of the index, which opens again by itself: a request may still be at work with it, and with files on
        their way, which stay locked as long as it lives.
        """
        self.shelf.close()
        if "store" in self.home.__dict__:
            self.home.store.close()

    def close(self) -> None:
        """Let go of files."""
        self.shelf.close()
        self.home.close()


class Homes:
    """The repositories of ``catalog`` with their packs in ``objects``; thread-safe.

    ``server_key_file`` opens those whose key the server holds.
    """

    def __init__(self, catalog: Catalog, objects: Blobs, cache_folder: Path, server_key_file: Path) -> None:
        self.catalog, self.objects = catalog, objects
        self.cache_folder, self.server_key_file = cache_folder, server_key_file
        self._lock = threading.Lock()
        self._open: OrderedDict[int, Opened] = OrderedDict()

    def history(self, row: Row) -> CatalogHistory:
        """The history of a repository; needs no keys."""
        return CatalogHistory(self.catalog, row.number)

    def open(self, row: Row, *, author: str = "", progress: Progress = SILENT) -> ModelRepository:
        """The verbs of a repository; ``author`` signs what is done with them. It stays open: do not close it.

        Raises:
            KeyMissing: only clients hold its key.
        """
        opened = self.opened(row)
        if not opened.readable:
            raise no_key()
        return _over(opened.home, author, progress)

    def told(self, row: Row, *, author: str = "") -> ModelRepository:
        """The same for what needs no plain weights: branches, tags, lists. Whoever reads files gets KeyMissing."""
        return _over(self.opened(row).home, author)

    def opened(self, row: Row) -> Opened:
        """A repository, opened; anew when its keys have changed."""
        files = repositories.keys(self.catalog, row.number)
        stamp = _stamp(row, files)
        with self._lock:
            there = self._open.get(row.number)
            if there is not None and there.stamp == stamp:
                self._open.move_to_end(row.number)
                return there
        fresh = self._made(row, files, stamp)
        with self._lock:
            there = self._open.get(row.number)
            if there is not None and there.stamp == stamp:  # another thread was faster
                return there
            self._open[row.number] = fresh
            self._open.move_to_end(row.number)
            dropped = [there] if there is not None else []
            while len(self._open) > OPEN:
                dropped.append(self._open.popitem(last=False)[1])
        for opened in dropped:
            opened.release()
        return fresh

    def forget(self, row: Row) -> None:
        """Close a repository that was removed."""
        with self._lock:
            there = self._open.pop(row.number, None)
        if there is not None:
            there.close()

    def close(self) -> None:
        """Close all of them."""
        with self._lock:
            there, self._open = list(self._open.values()), OrderedDict()
        for opened in there:
            opened.close()

    def _made(self, row: Row, files: tuple[wire.KeyFile, ...], stamp: bytes) -> Opened:
        place = self.cache_folder / "repositories" / row.place
        with storage_errors(place):
            make_folder(place / "tmp", 0o700)
        config = Config(row.id, row.created, row.encrypted, row.block_size, row.format)
        readable = is_readable(row, {file.name for file in files})
        keyring = partial(self._keyring, place / "keys", row, files)
        blobs = objects_of(self.objects, row)
        listed = Listed(blobs, self.catalog, row.number)
        named = f"{row.owner}/{row.name}"
        home = AnyHome(place, config, self.history(row), listed, named=named, keyring=keyring)
        shelf = PackShelf(home, readable=readable)
        desk, keeper = desk_of(blobs, place / "tmp"), presigning(self.objects)
        direct = Direct(blobs, keeper, f"repositories/{row.place}", place / "tmp") if keeper else None
        taking = Taking(listed, desk, home.staging, shelf.enter, room=room_of(blobs), direct=direct)
        return Opened(home, stamp, taking, shelf, blobs)

    def _keyring(self, folder: Path, row: Row, files: tuple[wire.KeyFile, ...]) -> Keyring:
        if not is_readable(row, {file.name for file in files}):
            raise no_key()
        unpack_keys(folder, files)
        return open_keys(folder, row.id, key_file=self.server_key_file)


def _over(home: AnyHome, author: str, progress: Progress = SILENT) -> ModelRepository:
    whole = ModelRepository.over(home, author=author or None, progress=progress)
    whole.settings = replace(
        whole.settings, no_provenance=True
    )  # the checkout that the server runs in means nothing
    return whole


def is_readable(row: Row, keys: Iterable[str]) -> bool:
    """Whether the server can look into the files of a repository with key files of these names: it holds the key, or
    there is nothing to open.
    """
    return not row.encrypted or ENVELOPE in keys


def objects_of(objects: Blobs, row: Row) -> Blobs:
    """Where a repository's packs lie."""
    folder = f"repositories/{row.place}"
    if isinstance(objects, LocalBlobs):
        return LocalBlobs(objects.root / folder)
    return Under(objects, folder)


def desk_of(blobs: Blobs, scratch: Path) -> Desk:
    """Where packs lie while they arrive: beside the others, so that every server finds them."""
    if isinstance(blobs, LocalBlobs):
        return FolderDesk(blobs.root / PREFIX)
    return ObjectsDesk(blobs, scratch)


def room_of(blobs: Blobs) -> Path | None:
    """The folder whose disk may be full; None for an object store."""
    if not isinstance(blobs, LocalBlobs):
        return None
    with storage_errors(blobs.root):
        make_folder(blobs.root)
    return blobs.root


def unpack_keys(folder: Path, files: tuple[wire.KeyFile, ...]) -> None:
    """Let ``folder`` hold exactly these files."""
    with storage_errors(folder):
        make_folder(folder, 0o700)
        there = {path.name: path.read_bytes() for path in folder.glob("*.json")}
        for file in files:
            if there.get(file.name) != file.content:
                write_file(folder / file.name, file.content, 0o600)
        for name in there.keys() - {file.name for file in files}:
            (folder / name).unlink(missing_ok=True)


def _stamp(row: Row, files: tuple[wire.KeyFile, ...]) -> bytes:
    digest = sha256(repr((row.place, row.owner, row.name, row.block_size)).encode())
    for file in files:
        digest.update(file.name.encode() + b"\0" + sha256(file.content).digest())
    return digest.digest()
