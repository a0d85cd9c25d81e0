"""The two ends of a journey: homes, in a folder or at an address, and what can be asked of either."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lepton_ai import settings
from lepton_ai.client.history import HttpHistory
from lepton_ai.client.home import FarHome, open_home
from lepton_ai.client.sync.foreseen import Foreseen
from lepton_ai.errors import InfrastructureError, NotAllowed, UsageError
from lepton_ai.history import home as homes
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.home import Home
from lepton_ai.history.leases import Lease
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.calls import Several, Since
from lepton_ai.history.refs.contract import ABSENT, History
from lepton_ai.history.several import changes
from lepton_ai.history.writing import EPOCH

VERSIONS = "version/"
"""What the keys of versions' states begin with."""


class End:
    """A repository as one end of a journey; ``beside`` is the other end, when that is here."""

    def __init__(self, home: AnyHome, beside: End | None = None) -> None:
        self.home = home
        near = beside.history if beside is not None else None
        far = home.history if isinstance(home.history, HttpHistory) else None
        self._foreseen = Foreseen(far, near) if far is not None else None
        self.history: History = self._foreseen or home.history
        self.lines = Lines(self.history)

    def foresee(self, asked: Several) -> None:
        """Ask for what will be needed, at once, where every question is a journey."""
        if self._foreseen is not None:
            self._foreseen.foresee(asked)

    def known(self, ids: Collection[bytes]) -> set[bytes]:
        """Those of the versions that are there."""
        if self._foreseen is not None:
            return self._foreseen.known(ids)
        return set(self.history.versions(list(ids)))

    def wonders(self, ids: Collection[bytes]) -> bool:
        """Whether :meth:`known` would have to ask elsewhere for some of these."""
        return self._foreseen is not None and self._foreseen.wonders(ids)

    def look_above(self, heads: Collection[bytes]) -> None:
        """Ask for the rows of versions, and those behind them, at once, where every question is a journey."""
        if self._foreseen is not None:
            self._foreseen.look_above(heads)

    def keeps(self, digests: Collection[bytes]) -> set[bytes]:
        """Those of the files that are there, by their SHA-256."""
        if self._foreseen is not None:
            return self._foreseen.keeps(digests)
        return set(self.history.contents(digests))

    def values(self, keys: Sequence[str]) -> dict[str, bytes | None]:
        """What refs hold; of those that were written on this journey, what was written."""
        if self._foreseen is not None:
            return self._foreseen.values(keys)
        return {key: ref.value for key, ref in self.history.get(keys).items()}

    @property
    def far(self) -> FarHome | None:
        """Its home when it is at an address."""
        return self.home if isinstance(self.home, FarHome) else None

    def lacks(self, ids: set[bytes]) -> set[bytes]:
        """Those of the objects that cannot be read there."""
        if self.far is not None:
            return self.far.missing(sorted(ids))
        return self.home.store.missing(ids, sound=True, avoid=self.condemned())

    def condemned(self) -> set[str]:
        """Packs that are about to be deleted there."""
        return {ref.key.removeprefix("condemned/") for ref in self.history.scan("condemned/")}

    def epoch(self) -> int:
        """The stamp that moves whenever packs are condemned."""
        ref = self.history.get([EPOCH]).get(EPOCH)
        return ref.stamp if ref else ABSENT

    def moves(self) -> int:
        """The number of the newest move of a version in its log."""
        newest = self.history.log("version/", limit=1)
        return newest[0].number if newest else 0

    def changed(self, since: int) -> tuple[int, set[bytes]]:
        """That number, and the versions (ids of their first revisions) whose state moved after the one given."""
        asked = self._foreseen
        if asked is not None and asked.newest is not None and asked.moved is not None:
            newest, keys = asked.newest, list(asked.moved)
        else:
            newest, keys = changes(self.history, Since(VERSIONS, since))
        return newest, {bytes.fromhex(key.removeprefix(VERSIONS)) for key in keys}

    @contextmanager
    def kept(self, what: str, *, needed: bool = True) -> Iterator[Lease | None]:
        """Keep garbage collection waiting, where we may say so; elsewhere what goes meanwhile is noticed."""
        lease: Lease | None = None
        if needed:
            with suppress(NotAllowed, InfrastructureError):
                lease = Lease(self.history, what)
        try:
            yield lease
        finally:
            if lease is not None:
                lease.release()


def open_end(url: str) -> AnyHome:
    """The home at an address or in a folder.

    Raises:
        NotFound: there is none. Unauthenticated, Forbidden, StorageFailed.
    """
    own = settings.read()
    if homes.is_address(url):
        return open_home(url, read_all=own.read_all)
    return Home(Path(url), timeout=own.timeout, read_all=own.read_all)


def check_same(ours: AnyHome, theirs: AnyHome) -> None:
    """Refuse to mix two repositories.

    Raises:
        UsageError.
    """
    if ours.config.id != theirs.config.id:
        raise UsageError(
            f"{theirs.named} is another repository ({theirs.config.id[:8]}…, not {ours.config.id[:8]}…)",
            hint="name a place of the same one; lepton export and import take single versions over",
        )
