"""Opening the repository that a command means."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lepton_ai import settings
from lepton_ai.cli.bars import bars
from lepton_ai.cli.output import note
from lepton_ai.errors import NotFound
from lepton_ai.history import home as homes
from lepton_ai.repository import ModelRepository


def place(repo: str | None) -> Path | None:
    """The folder of the repository that is meant: ``repo``, else LEPTON_AI_REPO, else the nearest upwards, else None.

    The inside of a repository stands for it: ``model/.lepton`` is ``model``.
    """
    named = Path(repo).expanduser() if repo else settings.read().repo
    if named is None:
        return homes.find(Path.cwd())
    inside = named.name == homes.FOLDER and not homes.exists(named) and homes.exists(named.parent)
    return named.parent if inside else named


@contextmanager
def opened(repo: str | None, *, as_json: bool = False, make: bool = False) -> Iterator[ModelRepository]:
    """The repository that a command works on; with ``make`` a new one when none is named and none is found.

    Raises:
        NotFound: there is none.
    """
    named = repo or settings.read().repo
    if named is not None and homes.is_address(named):
        with bars(quiet=as_json) as progress, ModelRepository(named, progress=progress) as repository:
            yield repository
        return
    folder = place(repo)
    new = make and not repo and (folder is None or not homes.exists(folder))
    if folder is None and not new:
        raise NotFound(
            f"there is no repository in {Path.cwd()} or above it",
            hint="lepton init makes one here, --repo names another",
        )
    where = folder or Path.cwd()
    if not new and not homes.exists(where):
        raise NotFound(f"there is no repository in {where}", hint=f"lepton init {where} makes one")
    with bars(quiet=as_json) as progress, ModelRepository(where, create=new, progress=progress) as repository:
        if new:
            _say_new(repository)
        yield repository


def interactive() -> bool:
    """Whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def _say_new(repository: ModelRepository) -> None:
    note(f"made a new repository in {repository.path}")
    if repository.recovery_file is not None:
        note(f"keep its recovery key safe: {repository.recovery_file}")
