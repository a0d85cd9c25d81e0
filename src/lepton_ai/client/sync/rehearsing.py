"""A passing copy of a repository, to try in it what a pull would lead to: its packs are linked, not copied."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from msgspec.structs import replace

from lepton_ai.client import remotes
from lepton_ai.client.remotes import Remote
from lepton_ai.history import states
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.home import FOLDER, Home
from lepton_ai.history.refs.contract import Commit
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.durable import make_folder, storage_errors

COPIED = ("config.json", "current")
NAMED = ("packs", "keys", "tmp")


@contextmanager
def copied(home: Home, remote: Remote, act: Act) -> Iterator[Path]:
    """The folder of a copy, which fetches blocks that it lacks from ``remote`` when they are read; gone afterwards.

    Raises:
        NoSpace, StorageFailed.
    """
    with home.staged() as folder:
        place = folder / FOLDER
        with storage_errors(place):
            for name in NAMED:
                make_folder(place / name)
            for file in (*(home.place / name for name in COPIED), *sorted(home.keys.glob("*.json"))):
                if file.exists():
                    shutil.copyfile(file, place / file.relative_to(home.place))
            for info in LocalBlobs(home.place).list("packs/"):
                _link(home.place / info.name, place / info.name)
        home.history.copy_to(place / "history.db")
        copy = Home(folder)
        try:
            there = remotes.find(copy.history, remote.name)
            moves = (states.set_(there.ref.key, there.ref, replace(there.state, partial=True)),)
            copy.history.commit(Commit(act.actor, "rehearse", at=act.at, moves=moves))
        finally:
            copy.close()
        yield folder


def _link(source: Path, target: Path) -> None:
    """Let a pack be there too; one that garbage collection has freed meanwhile is left out."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except FileNotFoundError:
        return
    except OSError:  # a file system without links
        shutil.copyfile(source, target)
