"""Making the other place of a repository, where there is none yet: on a server, or in a folder."""

from __future__ import annotations

import shutil
import weakref
from pathlib import Path

from lepton_ai import wire
from lepton_ai.client import credentials
from lepton_ai.client.address import parse
from lepton_ai.client.connection import Connection
from lepton_ai.history import home as homes
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.refs.memory import MemoryHistory
from lepton_ai.store.blobs.memory import MemoryBlobs
from lepton_ai.store.durable import make_folder


def make(ours: AnyHome, url: str, act: Act, *, keep_key: bool = False) -> None:
    """Make an empty place of this repository at an address or in a folder.

    A server gets the key, so that it can show, compare and merge; with ``keep_key`` only the wrapped one.

    Raises:
        AlreadyExists: there is something else. Unauthenticated, Forbidden, StorageFailed.
    """
    if not homes.is_address(url):
        _in_folder(ours, Path(url), act)
        return
    address = parse(url)
    connection = Connection(address.server, credentials.token(address.server))
    ring = ours.keyring
    files = tuple(wire.KeyFile(file.name, file.read_bytes()) for file in sorted(ring.folder.glob("*.json")))
    config = ours.config
    new = wire.NewRepository(
        address.owner, address.name, id=config.id, encrypted=config.encrypted, block_size=config.block_size,
        created_at=config.created_at, keys=files,
        master=ring.hand_over() if config.encrypted and not keep_key else None,
    )  # fmt: skip
    try:
        connection.call("POST", "/repositories", new, wire.RepositoryInfo)
    finally:
        connection.close()


def told(ours: AnyHome, url: str, *, keep_key: bool) -> tuple[str, ...]:
    """What who makes a place there should know: whether the server can read it."""
    if not (homes.is_address(url) and ours.config.encrypted):
        return ()
    holds = "does not get its key" if keep_key else "holds its key, and can read it"
    return (f"{url} is new; the server {holds}",)


def imagined(ours: AnyHome) -> AnyHome:
    """An empty place that is nowhere: what a first push would find."""
    keyring = ours.keyring
    place = ours.staging()
    home = AnyHome(
        place, ours.config, MemoryHistory(), MemoryBlobs(), named="nowhere yet", keyring=lambda: keyring
    )
    weakref.finalize(home, shutil.rmtree, place, ignore_errors=True)
    return home


def _in_folder(ours: AnyHome, folder: Path, act: Act) -> None:
    homes.check_writable(folder)

    def keys(place: Path) -> None:
        make_folder(place)
        for file in sorted(ours.keyring.folder.glob("*.json")):
            shutil.copyfile(file, place / file.name)

    homes.plant(folder, ours.config, keys, act.at, act.actor)
