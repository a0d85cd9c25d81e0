"""Clone: a new place of a repository, in a folder; begun anew, it goes on where it was cut off."""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

from lepton_ai.client import remotes
from lepton_ai.client.home import FarHome, unpack_keys
from lepton_ai.client.remotes import ORIGIN, Remote, located
from lepton_ai.client.sync.carry import carry
from lepton_ai.client.sync.ends import End
from lepton_ai.client.sync.gather import objects
from lepton_ai.errors import AlreadyExists, KeyMissing
from lepton_ai.history import home as homes
from lepton_ai.history import states
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.config import read_config
from lepton_ai.history.home import FOLDER, Home
from lepton_ai.history.record import digests as digests_of
from lepton_ai.history.refs.contract import ABSENT, Move
from lepton_ai.progress import Progress
from lepton_ai.store.durable import make_folder
from lepton_ai.store.seal.envelopes import BY_KEY_FILE
from lepton_ai.store.seal.keyring import default_key_file, open_keys, received

SERVERS_OWN = "envelope-server.json"
"""The key as a server wraps it for itself: of no use elsewhere."""


def begin(theirs: AnyHome, folder: Path, act: Act, *, partial: bool, only: str = "") -> Remote:
    """Make an empty repository in ``folder`` with the keys of ``theirs``, its remote ``origin``; or find it begun.

    Raises:
        AlreadyExists: there is another repository, or the folder is not empty.
        KeyMissing: the keys cannot be opened here; nothing was made.
    """
    url = located(theirs.named)
    homes.check_writable(folder)
    if homes.exists(folder):
        return _found(theirs, folder, url)
    if not homes.is_free(folder):
        raise AlreadyExists(f"{folder} is not empty", hint="name an empty folder, or a new one")
    state = states.RemoteState(url, partial, only)
    moves = (
        Move(f"remote/{ORIGIN}", ABSENT, states.encode(state)),
    )  # it says from the first that it is a clone
    homes.plant(folder, theirs.config, lambda place: _keys(theirs, place), act.at, act.actor, moves)
    return _found(theirs, folder, url)


def _found(theirs: AnyHome, folder: Path, url: str) -> Remote:
    """The remote of a clone that was begun here.

    Raises:
        AlreadyExists: it is none of this repository.
    """
    if read_config(folder / FOLDER).id == theirs.config.id:
        home = Home(folder)
        try:
            for remote in remotes.every(home.history):
                if remote.url == url and not End(home).moves():
                    return remote
        finally:
            home.close()
        raise AlreadyExists(f"{folder} is a place of this repository already", hint="lepton pull")
    raise AlreadyExists(f"{folder} holds another repository", hint="name an empty folder, or a new one")


def _keys(theirs: AnyHome, place: Path) -> None:
    """The wrapped keys, and a way in for this user.

    Raises:
        KeyMissing: the server does not hold the key, and no key file here fits.
    """
    make_folder(place)
    if isinstance(theirs, FarHome):
        told = theirs.fetch_keys()
        unpack_keys(told, place)
        (place / SERVERS_OWN).unlink(missing_ok=True)
        if told.master is not None:
            _let_in(place, theirs.config.id, told.master)
    else:
        for file in sorted(theirs.keys.glob("*.json")):
            shutil.copyfile(file, place / file.name)
    try:
        open_keys(place, theirs.config.id)
    except KeyMissing as problem:
        raise KeyMissing(
            f"{theirs.named} cannot be read here: {problem.message}",
            hint=problem.hint or "ask who made it for a key file or the recovery key",
        ) from problem


def _let_in(place: Path, repository_id: str, master: bytes) -> None:
    """Wrap a key that was handed over for this user, unless one of the key files here opens it already."""
    try:
        open_keys(place, repository_id)
    except KeyMissing:
        ring = received(place, repository_id, master)
        taken = set(ring.envelopes())
        name = next(
            n for n in (BY_KEY_FILE, *(f"{BY_KEY_FILE}-{i}" for i in range(2, 1000))) if n not in taken
        )
        own = default_key_file(repository_id)  # there already, when this user has another clone
        ring.wrap_with_key_file(own if own.exists() else None, name=name)


def bring_newest(ours: AnyHome, theirs: AnyHome, number: int, progress: Progress) -> None:
    """Bring the blocks of the newest ``number`` versions of every branch that was cloned without."""
    here, there = End(ours), End(theirs)
    digests: dict[bytes, None] = {}
    for branch in here.lines.branches():
        for row in islice(here.lines.line(branch), number):
            found = here.lines.version(here.lines.version(row.id).newest)
            digests |= dict.fromkeys(sorted(digests_of(found.record))) if found.living else {}
    ids = objects(here, here.history.contents(list(digests)).values())
    carry(there, here, here.lacks(ids), progress)


def folder_for(url: str) -> Path:
    """The folder into which a clone goes when none is named: that of the repository's name, here."""
    return Path.cwd() / url.rstrip("/").rpartition("/")[2]
