"""``--insecure``, for every command that speaks to a server."""

from __future__ import annotations

import os
from typing import Annotated

import typer

Insecure = Annotated[
    bool,
    typer.Option(
        "--insecure", help="Plain HTTP to other machines, too: everybody on the way can read along."
    ),
]


def insecure_too(said: bool) -> None:
    """Let this process speak plain HTTP to other machines, if that was said."""
    if said:
        os.environ["LEPTON_AI_INSECURE"] = "1"
