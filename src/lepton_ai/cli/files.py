"""``lepton checkout``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, ReadAllOption, VersionArgument
from lepton_ai.cli.output import plural, print_json, say
from lepton_ai.cli.session import opened


@examples("lepton checkout v2", "lepton checkout production -o /srv/model", "lepton checkout v1 --force")
def checkout(
    version: VersionArgument,
    output: Annotated[
        str, typer.Option("-o", "--output", metavar="DIR", help="The folder; made when missing.")
    ] = ".",
    branch: BranchOption = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace files that are not in the repository; a copy is kept.")
    ] = False,
    read_all: ReadAllOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Write a version's files into a folder.

    They are byte for byte what was saved. A file whose content is not in the repository is never overwritten without
    --force, which keeps a copy beside it.
    """
    folder = Path(output).expanduser()
    with opened(repo, as_json=as_json) as repository:
        repository.home.read_all |= read_all
        found = repository.version(version, branch)
        places = repository.checkout(found, folder, force=force)
    if as_json:
        print_json(
            {
                "name": found.name,
                "id": found.id,
                "branch": found.branch,
                "folder": str(folder),
                "files": [str(place) for place in places],
            }
        )
    else:
        say(f"wrote {plural(len(places), 'file')} of {found.branch}@{found.name} into {folder}")
