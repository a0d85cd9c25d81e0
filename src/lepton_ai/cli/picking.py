"""``lepton cherry-pick`` and ``lepton revert``: one version's change, taken over or taken back."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import typer

from lepton_ai.cli import complete, exits
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.merge_options import AllOption
from lepton_ai.cli.merge_told import print_pick
from lepton_ai.cli.options import BranchOption, MessageOption, VersionArgument
from lepton_ai.cli.results import made
from lepton_ai.cli.session import opened

MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="M",
        help="How tensors that changed on the branch too get the change (default: it is added to them).",
        show_default=False,
    ),
]
OnConflictOption = Annotated[
    str | None,
    typer.Option(
        "--on-conflict",
        metavar="ours|theirs|M",
        help="What becomes of what cannot be added: other shapes, integers (default: nothing is done).",
        show_default=False,
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done; exit 1: it cannot.")]
IntoOption = Annotated[
    str | None,
    typer.Option(
        "--into",
        metavar="BRANCH",
        help="Onto which branch (default: the current one).",
        autocompletion=complete.branches,
        show_default=False,
    ),
]


@examples("lepton cherry-pick feature@v4", "lepton cherry-pick feature@v4 --into release -m 'only the fix'")
def cherry_pick(
    version: VersionArgument,
    into: IntoOption = None,
    method: MethodOption = None,
    on_conflict: OnConflictOption = None,
    message: MessageOption = None,
    dry_run: DryRun = False,
    everything: AllOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Take one version's change over to another branch.

    What the version changed against its parent comes onto the branch as its next version. Tensors that the branch has
    as the parent had them become the version's, bit for bit; to others the difference is added. Exits with 1, and does
    nothing, when something cannot be added.
    """
    asked = _asked(method, on_conflict)
    with opened(repo, as_json=as_json) as repository:
        if dry_run:
            told = repository.preview_pick("cherry-pick", version, into, **asked)
            return print_pick(msgspec.to_builtins(told), everything=everything, as_json=as_json)
        new = made(repository, repository.cherry_pick(version, into, message=message or "", **asked))
    new.print(f"took the change of {version} over:", as_json=as_json)
    return exits.OK


@examples("lepton revert v3", "lepton revert v3 -b release -m 'it was trained on the test data'")
def revert(
    version: VersionArgument,
    branch: BranchOption = None,
    method: MethodOption = None,
    on_conflict: OnConflictOption = None,
    message: MessageOption = None,
    dry_run: DryRun = False,
    everything: AllOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Take one version's change back, and keep what came later.

    The branch gets a next version without what that one changed. Tensors that nobody touched since become what they
    were before it, bit for bit; from others the difference is subtracted. lepton rollback goes back to an older version
    as a whole.
    """
    asked = _asked(method, on_conflict)
    with opened(repo, as_json=as_json) as repository:
        if dry_run:
            told = repository.preview_pick("revert", version, branch, **asked)
            return print_pick(msgspec.to_builtins(told), everything=everything, as_json=as_json)
        new = made(repository, repository.revert(version, branch, message=message or "", **asked))
    new.print(f"took the change of {version} back:", as_json=as_json)
    return exits.OK


def _asked(method: str | None, on_conflict: str | None) -> Any:
    given = {"method": method, "on_conflict": on_conflict}
    return {name: value for name, value in given.items() if value is not None}
