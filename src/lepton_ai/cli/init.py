"""``lepton init``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.output import note, print_json, say
from lepton_ai.errors import AlreadyExists
from lepton_ai.history import home as homes
from lepton_ai.repository import ModelRepository

ADVICE = """
This repository is encrypted. The key in your config folder opens it without asking.
When that key is lost, the recovery key is the only way back to your models:
  1. print it, or keep it in a password manager:  cat {file}
  2. then remove the file from this computer:     rm {file}
A colleague or a new computer gets in with:       lepton keys recover --recovery-file FILE"""


@examples(
    "lepton init",
    "lepton init models/digits --recovery-file /media/usb/digits.recovery",
    "lepton init models/public --no-encrypt",
)
def init(
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="The folder (default: this one).", show_default=False)
    ] = None,
    no_encrypt: Annotated[bool, typer.Option("--no-encrypt", help="Keep the models in plain.")] = False,
    recovery_file: Annotated[
        str | None,
        typer.Option(
            "--recovery-file",
            metavar="FILE",
            help="Where to write the recovery key (default: beside the key in your config folder).",
            show_default=False,
        ),
    ] = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Make a repository.

    It is a folder with .lepton/ in it, made with its parents when missing. What is saved is encrypted; the key is kept
    in your config folder, and a recovery key is written for the day when that is lost.
    """
    folder = Path(path or repo or ".").expanduser()
    if homes.exists(folder):
        raise AlreadyExists(
            f"there is a repository in {folder.absolute()} already", hint="it is ready: lepton save FILE"
        )
    recovery = Path(recovery_file).expanduser().absolute() if recovery_file else None
    with ModelRepository(folder, encrypt=not no_encrypt, recovery_file=recovery) as repository:
        kept = repository.recovery_file
        if as_json:
            print_json(
                {
                    "path": str(folder.absolute()),
                    "id": repository.home.config.id,
                    "encrypted": repository.home.config.encrypted,
                    "recovery_file": str(kept) if kept else None,
                }
            )
            return
    note(f"made a repository in {folder.absolute()}" + ("" if kept else ", without encryption"))
    if kept is not None:
        say(str(kept))
        if sys.stdout.isatty():
            say(ADVICE.format(file=kept))
