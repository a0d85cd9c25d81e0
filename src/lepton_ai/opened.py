"""An opened repository: its parts, who acts, and what the addresses mean that its verbs are given."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from lepton_ai import settings
from lepton_ai.drafts import Draft
from lepton_ai.errors import NotFound, UsageError
from lepton_ai.handles import Branch, Version
from lepton_ai.history import given, states
from lepton_ai.history import home as homes
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.changes.attempt import Act, now
from lepton_ai.history.changes.saving import ANY
from lepton_ai.history.home import Home
from lepton_ai.history.leases import user_name
from lepton_ai.history.lines import MAIN, Lines
from lepton_ai.history.lines import Found as FoundVersion
from lepton_ai.history.provenance import git_user
from lepton_ai.history.reading import Reader
from lepton_ai.history.record import text
from lepton_ai.history.save import Saver
from lepton_ai.later import Later
from lepton_ai.progress import SILENT, Progress

if TYPE_CHECKING:
    from lepton_ai.client import home as far
    from lepton_ai.client.sync import lazily
else:
    far = Later("lepton_ai.client.home")
    lazily = Later("lepton_ai.client.sync.lazily")

Where = Branch | str | None


class Opened:
    """What the verbs of :class:`~lepton_ai.repository.ModelRepository` stand on."""

    def __init__(
        self,
        path: str | Path,
        *,
        create: bool = True,
        encrypt: bool = True,
        recovery_file: Path | None = None,
        author: str | None = None,
        progress: Progress = SILENT,
    ) -> None:
        """Open the repository in the folder ``path``; make it, with its parents, when there is none and ``create``.

        Or the one at an address, ``https://host/owner/name``, which must be there (``lepton push`` makes one).

        ``author`` signs what is saved (default: LEPTON_AI_AUTHOR, git's user, the system's user).

        Raises:
            NotFound: there is none, and not ``create``.
            UsageError, StorageFailed: none can be made there.
        """
        self.settings = settings.read()
        if homes.is_address(path):
            self._author = _signed(self.settings, author)
            self.recovery_file: Path | None = None
            self._stand_on(far.open_home(str(path), read_all=self.settings.read_all), progress)
            self.path = self.home.place
            return
        self.path = homes.located(path)
        self._author = _signed(self.settings, author)
        self.recovery_file = None
        if create and not homes.exists(self.path):
            homes.check_writable(self.path)
            self.recovery_file = homes.create(
                self.path,
                now(),
                self.author,
                encrypt=given.switch(encrypt, "encrypt"),
                recovery_file=None if recovery_file is None else given.path(recovery_file, "recovery_file"),
                key_file=self.settings.key_file,
            )
        home = Home(self.path, timeout=self.settings.timeout, read_all=self.settings.read_all)
        if _left_elsewhere(home):
            home.absent = lazily.absent(home)
        self._stand_on(home, progress)

    @classmethod
    def over(cls, home: AnyHome, *, author: str | None = None, progress: Progress = SILENT) -> Self:
        """The same verbs over a home that is open already, wherever it is; it is closed with this."""
        whole = cls.__new__(cls)
        whole.settings = settings.read()
        whole.path = home.place
        whole.recovery_file = None
        whole._author = _signed(whole.settings, author)  # noqa: SLF001  (one of us)
        whole._stand_on(home, progress)  # noqa: SLF001  (one of us)
        return whole

    def _stand_on(self, home: AnyHome, progress: Progress) -> None:
        self.progress = progress
        self.home = home
        self.lines = Lines(home.history)

    def __repr__(self) -> str:
        return f"<ModelRepository {self.home.named}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of files and connections; opening again is cheap."""
        self.home.close()

    # For the handles

    @cached_property
    def author(self) -> str:
        """Who signs what is saved."""
        return self._author or git_user() or user_name()

    @cached_property
    def reader(self) -> Reader:
        """Reads blocks and tensors."""
        return Reader(self.home.history, self.home.store)

    def living(self, version: Version) -> FoundVersion:
        """The version as of now, refused when it was deleted."""
        return self.lines.resolve(id_of(version).hex())

    # What is meant, and who acts

    @property
    def _saver(self) -> Saver:
        working = None if self.settings.no_provenance else Path()
        return Saver(self.home, self.lines, working, self.progress)

    def _onto(self, branch: Where, parent: str | Version | None) -> tuple[str, object]:
        """The branch to save onto, and the head that is expected there.

        Raises:
            NotFound: there is no such branch or version. LostRace: the branch does not stand on ``parent``.
        """
        into = self._branch_name(branch)
        expected = self._found(parent, into).row.id if parent is not None else ANY
        self._saver.head(into, expected)
        return into, expected

    def _found(self, version: object, branch: str = "") -> FoundVersion:
        if isinstance(version, Branch):
            return self._newest(version.name)
        if isinstance(version, Draft):
            version = version.saved()
        if isinstance(version, Version):
            return self.living(version)
        return self.lines.resolve(text(version, "the version"), branch or self.home.current)

    def _base(self, base: str | Branch | Version | None) -> FoundVersion | None:
        if base is None:
            return self._newest(MAIN) if self.lines.branch(MAIN).head else None
        return self._found(base)

    def _newest(self, branch: str) -> FoundVersion:
        head = self.lines.branch(branch).head
        if head is None:
            raise NotFound(f"branch {branch!r} has no version yet", hint="save one first")
        return self.lines.version(head)

    def _branch_name(self, branch: Where) -> str:
        if isinstance(branch, Branch):
            return branch.name
        return self.home.current if branch is None else text(branch, "the branch")

    def _act(self, why: str = "") -> Act:
        return Act(text(self.author, "the author"), now(), text(why, "the message"))


def _left_elsewhere(home: Home) -> bool:
    """Whether some blocks were left at a remote when this was cloned."""
    refs = home.history.scan("remote/", limit=1) and home.history.scan("remote/")
    return any(states.decode(states.RemoteState, ref).partial for ref in refs if ref.key.count("/") == 1)


def _signed(given_: settings.Settings, author: str | None) -> str:
    return given_.author if author in (None, "") else text(author, "the author")


def id_of(version: object) -> bytes:
    """The id of a version's revision.

    Raises:
        UsageError: it is no version.
    """
    if isinstance(version, Draft):
        version = version.saved()
    if not isinstance(version, Version):
        raise UsageError(
            f"the version is a {type(version).__name__}, not a Version",
            hint="repository.version(…) gives one",
        )
    return bytes.fromhex(version.id)
