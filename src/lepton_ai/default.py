"""Verbs of the package itself: they work on the default repository."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Unpack

from lepton_ai import settings
from lepton_ai.handles import Branch, Version
from lepton_ai.history import home as homes
from lepton_ai.history.carried import Carried
from lepton_ai.repository import ModelRepository
from lepton_ai.types import VersionInfo

_opened: dict[Path, ModelRepository] = {}


def default_repository() -> ModelRepository:
    """Open the repository that is meant when none is named, and keep it open.

    It is the one in ``LEPTON_AI_REPO``, else the nearest one at or above the current folder, else a new one in
    the current folder. A new one is said aloud on stderr, since nobody asked for it by name. When the folder holds
    another repository than before, that one is opened.
    """
    named = settings.read().repo
    if named is not None and homes.is_address(named):
        return _far(named)
    folder = _folder()
    known = _opened.get(folder)
    if known is not None and known.home.is_current:
        return known
    new = not homes.exists(folder)
    repository = ModelRepository(folder)
    if new:
        _say(repository)
    _opened[folder] = repository
    return repository


def create_version(
    version: str,
    model_path: str | Path,
    history_path: str | Path | None = None,
    *,
    branch: Branch | str | None = None,
    **carried: Unpack[Carried],
) -> Version:
    """Take a finished file or folder as the version called ``version``; an existing one gets a new revision.

    ``history_path``: training curves as JSON or CSV. ``branch``: where (default: the current branch). ``carried``:
    metrics, params, dataset, author, message.

    Raises:
        NotFound: there is no such file, or no such branch.
        InvalidName: a version cannot be called so.
    """
    return default_repository().create_version(version, model_path, history_path, branch=branch, **carried)


def list_versions(
    branch: Branch | str | None = None,
    *,
    deleted: bool = False,
    limit: int | None = None,
    where: str = "",
    order_by: str = "",
) -> list[VersionInfo]:
    """Versions of a branch, or of all branches, oldest first; the newest ``limit`` of them.

    With ``order_by`` ("metrics.loss DESC", say) they come in its order, and ``limit`` takes the first. ``where`` is a
    filter: ``"metrics.accuracy > 0.9 AND author = 'ada'"``.

    Raises:
        UsageError: the filter or the order cannot be read; says the column.
    """
    repository = default_repository()
    return repository.list_versions(branch, deleted=deleted, limit=limit, where=where, order_by=order_by)


def _far(address: Path) -> ModelRepository:
    known = _opened.get(address)
    if known is None or not known.home.is_current:
        known = _opened[address] = ModelRepository(address)
    return known


def _folder() -> Path:
    named = settings.read().repo
    if named is not None:
        return homes.located(named)
    here = Path.cwd()
    return homes.find(here) or here


def _say(repository: ModelRepository) -> None:
    lines = [f"lepton-ai: made a new repository in {repository.path}"]
    if repository.recovery_file is not None:
        lines.append(f"lepton-ai: keep its recovery key safe: {repository.recovery_file}")
    sys.stderr.write("\n".join(lines) + "\n")
