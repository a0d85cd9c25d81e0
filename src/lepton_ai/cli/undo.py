"""``lepton rollback``, ``lepton delete`` and ``lepton restore``."""

from __future__ import annotations

from typing import Annotated

import typer

from lepton_ai.cli import complete
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, MessageOption, VersionArgument
from lepton_ai.cli.output import print_json, say
from lepton_ai.cli.results import made
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError
from lepton_ai.telling.versions import version_json


@examples("lepton rollback v1", "lepton rollback v1 -b release -m 'v2 drifts'")
def rollback(
    version: VersionArgument,
    branch: BranchOption = None,
    message: MessageOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Make a new version with what an older one carries.

    Content, params, dataset, code and environment are the older one's. Nothing is lost: the versions between stay.
    """
    with opened(repo, as_json=as_json) as repository:
        new = made(repository, repository.rollback(version, branch, message=message))
    new.print(f"rolled back to {version}:", as_json=as_json)


@examples("lepton delete v3", "lepton delete feature@v2 -m 'trained on the wrong data'")
def delete(
    version: VersionArgument,
    branch: BranchOption = None,
    message: MessageOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Delete a version, restorable until gc.

    It can be restored until lepton gc frees its bytes, 14 days later at the earliest. A branch whose newest version it
    is steps back. What a tag or an alias names cannot be deleted.
    """
    with opened(repo, as_json=as_json) as repository:
        gone = repository.delete_version(version, branch, why=message or "")
        info = repository.info(gone)
    if as_json:
        print_json(version_json(info))
    else:
        address = f"{info.branch}@{info.name}"
        say(f"deleted {address}; lepton restore {address} brings it back")


@examples("lepton restore v3", "lepton restore feature@v2", "lepton restore --branch feature")
def restore(
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="VERSION", help="The version.", autocompletion=complete.versions, show_default=False
        ),
    ] = None,
    branch: Annotated[
        str | None,
        typer.Option(
            "-b",
            "--branch",
            metavar="NAME",
            help="The deleted branch to bring back; with VERSION, the branch that it is on.",
            show_default=False,
        ),
    ] = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Bring a deleted version or branch back.

    A branch comes back with the versions that went with it. Restoring a version moves no branch.
    """
    if version is None and branch is None:
        raise UsageError(
            "nothing is named to restore", hint="lepton restore VERSION, or lepton restore --branch NAME"
        )
    with opened(repo, as_json=as_json) as repository:
        if version is None:
            restored = repository.restore_branch(branch or "").head
            told = {"name": branch, "head": restored and {"name": restored.name, "id": restored.id}}
            text = f"restored branch {branch}"
        else:
            info = repository.info(repository.restore_version(version, branch))
            told, text = version_json(info), f"restored {info.branch}@{info.name}"
    if as_json:
        print_json(told)
    else:
        say(text)
