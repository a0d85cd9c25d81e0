"""Blocks that a clone left at its remote, fetched when they are read."""

from __future__ import annotations

from threading import Lock

from lepton_ai.client import remotes
from lepton_ai.client.sync.carry import carry
from lepton_ai.client.sync.ends import End, check_same, open_end
from lepton_ai.errors import LeptonError, StorageFailed
from lepton_ai.history.any_home import AnyHome
from lepton_ai.progress import SILENT
from lepton_ai.store.reader import Absent


def absent(home: AnyHome) -> Absent:
    """What brings blocks to ``home`` from the remotes where it has left some.

    Raises (when it is called):
        StorageFailed: none of them has them, or can be reached; says why.
    """
    opened: dict[str, End] = {}
    lock = Lock()

    def bring(ids: set[bytes]) -> None:
        with lock:
            wanted, why = set(ids), ""
            for remote in remotes.every(home.history):
                if not remote.state.partial or not wanted:
                    continue
                try:
                    source = opened.get(remote.url) or _opened(home, remote.url)
                    opened[remote.url] = source
                    there = wanted - source.lacks(wanted)
                    carry(source, End(home), there, SILENT)
                    wanted -= there
                except LeptonError as problem:
                    why = f"{remote.name}: {problem.message}"
            if wanted and why:
                raise StorageFailed(
                    f"what is read was left elsewhere, and cannot be fetched now: {why}",
                    hint="repeat when it can",
                )

    return bring


def _opened(home: AnyHome, url: str) -> End:
    theirs = open_end(url)
    check_same(home, theirs)
    return End(theirs)
