"""``lepton backup``, ``restore-backup`` and ``export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lepton_ai.cli.bars import bars
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, ForceOption, VersionArgument
from lepton_ai.cli.output import human_size, plural, print_json, say
from lepton_ai.cli.session import opened
from lepton_ai.history.backup import Copied
from lepton_ai.history.bundle import SUFFIX
from lepton_ai.history.restoring import restore


@examples("lepton backup /media/usb/digits", "lepton backup ../copy --json")
def backup(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Where to: empty, or with an older backup of the same.")
    ],
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Copy the whole repository, while others write.

    Into an older backup only what is new is copied. The copy is a repository itself, and is verified. Its keys stay
    wrapped: whoever restores it needs the key file or the recovery key.
    """
    with opened(repo, as_json=as_json) as repository:
        copied = repository.backup(Path(folder).expanduser())
    _print_copied(copied, "copied", as_json=as_json)


@examples("lepton restore-backup /media/usb/digits", "lepton restore-backup /media/usb/digits models/digits")
def restore_backup(
    source: Annotated[str, typer.Argument(metavar="BACKUP", help="The folder that lepton backup was given.")],
    target: Annotated[
        str | None,
        typer.Argument(metavar="FOLDER", help="Where to (default: this folder).", show_default=False),
    ] = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Make a repository from a backup.

    It appears whole or not at all, and is verified.
    """
    folder = Path(target or repo or ".").expanduser()
    with bars(quiet=as_json) as progress:
        copied = restore(Path(source).expanduser(), folder, progress=progress)
    _print_copied(copied, "restored", as_json=as_json)


@examples("lepton export v2", "lepton export production -o digits.lepton")
def export(
    version: VersionArgument,
    output: Annotated[
        str | None,
        typer.Option(
            "-o", "--output", metavar="FILE", help="The file (default: VERSION.lepton).", show_default=False
        ),
    ] = None,
    branch: BranchOption = None,
    force: ForceOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Write one version into a single file.

    With everything that it carries, for another repository; in plain, also from an encrypted one.
    """
    with opened(repo, as_json=as_json) as repository:
        found = repository.version(version, branch)
        target = Path(output).expanduser() if output else Path(found.name + SUFFIX)
        written = repository.export_version(found, target, force=force)
        size = written.stat().st_size
    if as_json:
        print_json({"file": str(written), "bytes": size, "name": found.name, "id": found.id})
    else:
        say(f"wrote {found.branch}@{found.name} into {written}, {human_size(size)}")


def _print_copied(copied: Copied, did: str, *, as_json: bool) -> None:
    if as_json:
        print_json(
            {
                "folder": str(copied.folder),
                "bytes": copied.bytes,
                "packs": copied.packs,
                "versions": copied.versions,
            }
        )
        return
    new = f"{human_size(copied.bytes)} in {plural(copied.packs, 'pack')}"
    say(f"{did} {new} into {copied.folder}; {plural(copied.versions, 'revision')} verified")
