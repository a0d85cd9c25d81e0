"""A version that is being made: several files, one save."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, Unpack

from msgspec.structs import replace

from lepton_ai.errors import UsageError
from lepton_ai.history.carried import Carried, Prepared, prepare
from lepton_ai.history.files import Found, collect, gather
from lepton_ai.later import Later

if TYPE_CHECKING:
    from lepton_ai.formats.frameworks import registry as frameworks
    from lepton_ai.handles import Branch, Version
    from lepton_ai.repository import ModelRepository
else:
    frameworks = Later("lepton_ai.formats.frameworks.registry")


class _NotClosed(UsageError, AttributeError):
    """What only a version has was asked of a draft; ``hasattr`` says no."""


class Draft:
    """A version that is being made. It lives in this process only: an exception or its death discards it."""

    def __init__(self, repository: ModelRepository, branch: Branch, name: str | None) -> None:
        self._branch, self._repository = branch, repository
        self._name = name
        self._start = repository.open_draft(branch.name, name)
        self._notes: tuple[str, ...] = ()
        self._files: list[Found] = []
        self._staging: Path | None = None
        self._prepared = Prepared()
        self._several = False
        self.version: Version | None = None

    @property
    def name(self) -> str:
        """The name that it was opened with; once closed, the version's.

        Raises:
            UsageError: it is open, and gets the next number when it is closed.
        """
        if self.version is None and self._name is not None:
            return self._name
        return str(self.__getattr__("name"))

    @property
    def label(self) -> str:
        """Its name, for people."""
        return repr(self._name) if self._name else "(next number)"

    def __enter__(self) -> Self:
        self._several = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self.discard()
        elif self.version is None:
            self.close()

    def save_model(
        self,
        model: object,
        stem: str = "model",
        *,
        format: str | None = None,  # noqa: A002  (the public keyword)
        example_inputs: object = None,
        **carried: Unpack[Carried],
    ) -> Draft:
        """Add a live object's files; closes the draft unless it is in a ``with`` block."""
        self._open()
        with self._discarding():
            prepared = prepare(carried)
            if self._staging is None:
                self._staging = self._repository.home.staging()
            saved = frameworks.save(model, self._staging, stem, format, example_inputs=example_inputs)
            self._notes += (saved.note,) if saved.note else ()
            self._files += files_of(saved.paths)
            return self._took(prepared)

    def add(self, *paths: str | Path, **carried: Unpack[Carried]) -> Draft:
        """Add files or folders; closes the draft unless it is in a ``with`` block."""
        return self.take(paths, carried)

    def take(self, paths: str | Path | Iterable[str | Path], carried: Carried) -> Draft:
        """As :meth:`add`."""
        self._open()
        with self._discarding():
            prepared = prepare(carried)
            self._files += collect(paths)
            return self._took(prepared)

    def set(self, **carried: Unpack[Carried]) -> Draft:
        """Give metrics, params, history, dataset, author or message; the draft stays open."""
        self._open()
        self._prepared = self._prepared.then(prepare(carried))
        return self

    def close(self) -> Version:
        """Save what was added; with nothing added, the content of the parent (or of the revision before).

        Raises:
            LostRace: somebody moved the branch since the draft was opened.
            UsageError: nothing was added, and there is no parent.
        """
        self._open()
        try:
            self.version = self._repository.fill_draft(
                self._start, self._files or None, self._prepared, self._notes
            )
        finally:
            self.discard()
        return self.version

    def saved(self) -> Version:
        """The version that it became.

        Raises:
            UsageError: it is still open, or was discarded.
        """
        if self.version is None:
            raise UsageError(f"draft {self.label} is no version yet", hint="close it first")
        return self.version

    def discard(self) -> None:
        """Forget it."""
        if self._branch.draft is self:
            self._branch.draft = None
        if self._staging is not None:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None

    def __getattr__(self, name: str) -> Any:
        """Once closed, everything that a :class:`Version` has."""
        version = self.__dict__.get("version")
        if version is None:
            raise _NotClosed(f"a draft has no {name!r} before it is closed", hint="save into it, or close it")
        return getattr(version, name)

    @contextmanager
    def _discarding(self) -> Iterator[None]:
        """A save that fails ends the draft, except in a ``with`` block, whose end decides."""
        try:
            yield
        except BaseException:
            if not self._several:
                self.discard()
            raise

    def _open(self) -> None:
        if self._branch.draft is not self:
            raise UsageError(f"draft {self.label} is closed", hint="open another one")

    def _took(self, prepared: Prepared) -> Draft:
        self._prepared = self._prepared.then(prepared)
        if not self._several:
            self.close()
        return self


def files_of(written: Sequence[Path]) -> list[Found]:
    """Files that a framework wrote, each by its own name (a folder's with its name before)."""
    found: list[Found] = []
    for path in written:
        prefix = f"{path.name}/" if path.is_dir() else ""
        found += [replace(file, path=prefix + file.path) for file in gather([path])]
    return found
