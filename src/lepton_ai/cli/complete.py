"""What a shell offers when somebody presses Tab: names of branches, versions, tags and aliases."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import typer

from lepton_ai.cli.session import place
from lepton_ai.errors import LeptonError
from lepton_ai.history import home as homes
from lepton_ai.repository import ModelRepository

NEWEST = 100
"""Versions that are offered; whoever means an older one types it."""


def branches(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of branches."""
    return _offer(ctx, incomplete, lambda repository: (branch.name for branch in repository.branches()))


def versions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of the newest versions of the branch that is meant, ``branch@version`` of the others, tags and aliases."""
    return _offer(ctx, incomplete, lambda repository: _addresses(repository, ctx.params.get("branch")))


def tags(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of tags."""
    return _offer(ctx, incomplete, lambda repository: repository.tags())


def aliases(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of aliases."""
    return _offer(ctx, incomplete, lambda repository: repository.aliases())


def remotes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of remotes."""
    return _offer(ctx, incomplete, lambda repository: (remote.name for remote in repository.remotes()))


def _addresses(repository: ModelRepository, branch: str | None) -> Iterator[str]:
    current = branch or repository.current_branch
    for info in reversed(repository.list_versions(limit=NEWEST)):
        yield info.name if info.branch == current else f"{info.branch}@{info.name}"
    yield from repository.tags()
    yield from repository.aliases()


def _offer(
    ctx: typer.Context, incomplete: str, names: Callable[[ModelRepository], Iterable[str]]
) -> list[str]:
    repo = ctx.params.get("repo") or (ctx.parent.params.get("repo") if ctx.parent else None)
    try:
        folder = place(repo)
        if folder is None or not homes.exists(folder):
            return []
        with ModelRepository(folder, create=False) as repository:
            return [name for name in names(repository) if name.startswith(incomplete)]
    except LeptonError:
        return []  # a shell that completes has no place for errors; the command itself will say it
