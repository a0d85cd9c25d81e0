"""The two ends of a journey: homes, in a folder or at an address, and what can be asked of either."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lepton_ai import settings
from lepton_ai.client.home import FarHome, open_home
from lepton_ai.errors import InfrastructureError, NotAllowed, UsageError
from lepton_ai.history import home as homes
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.home import Home
from lepton_ai.history.leases import Lease
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.contract import ABSENT, History
from lepton_ai.history.writing import EPOCH


class End:
    """A repository as one end of a journey."""

    def __init__(self, home: AnyHome) -> None:
        self.home = home
        self.lines = Lines(home.history)

    @property
    def history(self) -> History:
        """Its history."""
        return self.home.history

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

    @contextmanager
    def kept(self, what: str) -> Iterator[None]:
        """Keep garbage collection waiting, where we may say so; elsewhere what goes meanwhile is noticed."""
        lease: Lease | None = None
        with suppress(NotAllowed, InfrastructureError):
            lease = Lease(self.history, what)
        try:
            yield
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
