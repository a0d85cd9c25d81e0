"""A repository at an address as a home: history and packs there, keys and index in the user's cache folder."""

from __future__ import annotations

from pathlib import Path

from blake3 import blake3

from lepton_ai import wire
from lepton_ai.client import credentials
from lepton_ai.client.address import Address, parse
from lepton_ai.client.blobs import HttpBlobs
from lepton_ai.client.connection import Connection
from lepton_ai.client.history import HttpHistory
from lepton_ai.client.listed import Listed
from lepton_ai.errors import Damaged, KeyMissing, StorageFailed, TooNew
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.config import FORMAT, Config
from lepton_ai.store.durable import make_folder, storage_errors, write_file
from lepton_ai.store.seal.keyring import Keyring, default_key_file, open_keys, received

AT_ONCE = wire.MOST_IDS
ID_SIZE = 32
SEALING = "sealing-*.json"
"""Files of sealing keys."""


class FarHome(AnyHome):
    """The home of the repository at ``address``; ``token`` (default: the login that is kept) says who asks.

    Raises:
        NotFound: there is none. Unauthenticated, Forbidden, StorageFailed. TooNew: a later tool made it.
        Damaged: it is told to be without encryption, which it never was.
    """

    frees = False

    def __init__(self, address: Address, token: str | None = None, *, read_all: bool = False) -> None:
        self.address = address
        self.path = f"/repositories/{address.owner}/{address.name}"
        self.connection = Connection(address.server, token or credentials.token(address.server))
        told: wire.RepositoryInfo = self.connection.call("GET", self.path, None, wire.RepositoryInfo)
        if told.format > FORMAT:
            raise TooNew(
                f"{address} has format {told.format}, this tool knows {FORMAT}", hint="use a newer lepton-ai"
            )
        if not told.encrypted and default_key_file(told.id).exists():
            raise Damaged(
                f"{address} is said to be without encryption, and a key to it is kept here",
                hint="nothing was sent; ask who runs the server",
            )
        self.info = told
        config = Config(told.id, told.created_at, told.encrypted, told.block_size, told.format)
        place = cache_folder(told.id, str(address))
        self.far_blobs = HttpBlobs(self.connection, self.path, known=Listed(place / "packs.list"))
        super().__init__(
            place, config, HttpHistory(self.connection, self.path), self.far_blobs,
            named=str(address), keyring=self._opened_keys, read_all=read_all,
        )  # fmt: skip

    def missing(self, ids: list[bytes]) -> set[bytes]:
        """Those of the objects that the server cannot read by its index."""
        found: set[bytes] = set()
        for start in range(0, len(ids), AT_ONCE):
            asked = wire.Ids(b"".join(ids[start : start + AT_ONCE]))
            path = f"{self.path}/objects/missing"
            told: wire.Ids = self.connection.call(
                "POST", path, asked, wire.Ids, repeat=True, packed=True, works=True
            )
            found.update(told.ids[at : at + ID_SIZE] for at in range(0, len(told.ids), ID_SIZE))
        return found

    def borrow(self, ring: Keyring) -> None:
        """Open with the keys of another place of the repository, if it has all that the server has."""
        here = {file.name for file in ring.folder.glob(SEALING)}
        if here.issuperset(self.info.sealing):
            self._open_keys = lambda: ring

    def fetch_keys(self) -> wire.Keys:
        """The wrapped keys as the server has them now, written into the folder of the keys; the master key if told.

        Raises:
            Damaged: a name is none of a key file.
        """
        told: wire.Keys = self.connection.call("GET", f"{self.path}/keys", None, wire.Keys)
        unpack_keys(told, self.keys)
        return told

    def _opened_keys(self) -> Keyring:
        """With what the server hands over; where only clients hold the key, with this user's key file."""
        told = self.fetch_keys()
        if told.master is not None:
            return received(self.keys, self.config.id, told.master)
        try:
            return open_keys(self.keys, self.config.id)
        except KeyMissing as problem:
            raise KeyMissing(
                f"the server does not hold the key of {self.named}, and none here fits: {problem.message}",
                hint=problem.hint,
            ) from problem


def open_home(address: str, *, read_all: bool = False) -> FarHome:
    """The home of the repository at ``https://host/owner/name``, as who is logged in there.

    Raises:
        UsageError: it is no address. NotFound: there is none. Unauthenticated, Forbidden, StorageFailed, TooNew.
    """
    return FarHome(parse(address), read_all=read_all)


def unpack_keys(told: wire.Keys, folder: Path) -> None:
    """Write key files into ``folder``; only what differs is touched.

    Raises:
        Damaged: a name is none of a key file.
        NoSpace, StorageFailed.
    """
    with storage_errors(folder):
        make_folder(folder, 0o700)
    for file in told.files:
        if Path(file.name).name != file.name or not file.name.endswith(".json") or file.name.startswith("."):
            raise Damaged(f"the server names a key file {file.name!r}, which is none")
        place = folder / file.name
        with storage_errors(place):
            if place.exists() and place.read_bytes() == file.content:
                continue
        write_file(place, file.content, 0o600)


def cache_folder(repository_id: str, address: str) -> Path:
    """Where what may be lost of a repository elsewhere is kept: made when missing, for this user only."""
    from platformdirs import user_cache_path

    if not repository_id.isalnum():
        raise StorageFailed("the server names a repository that cannot be")
    name = (
        f"{repository_id}-{blake3(address.encode()).hexdigest(length=4)}"  # a copy elsewhere has other packs
    )
    folder = user_cache_path("lepton-ai", appauthor=False) / "repositories" / name
    with storage_errors(folder):
        make_folder(folder, 0o700)
    return folder
