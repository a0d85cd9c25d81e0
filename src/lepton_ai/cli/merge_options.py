"""What may be said after ``lepton merge``."""

from __future__ import annotations

from typing import Annotated

import typer

from lepton_ai.cli import complete

Many = list[str] | None
SourcesArgument = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SRC",
        help="The branch whose versions are taken; or several branches or versions.",
        autocompletion=complete.branches,
        show_default=False,
    ),
]
IntoOption = Annotated[
    str | None,
    typer.Option(
        "--into",
        metavar="DST",
        help="Where to (default: main; to end a merge: the only one in progress).",
        autocompletion=complete.branches,
        show_default=False,
    ),
]
MethodOption = Annotated[
    str | None,
    typer.Option(
        "--method",
        metavar="M",
        help="How tensors that both sides changed are merged: linear, slerp, ties, ours …",
        show_default=False,
    ),
]
OnConflictOption = Annotated[
    str | None,
    typer.Option(
        "--on-conflict",
        metavar="stop|ours|theirs|M",
        help="What becomes of what is still in conflict then (default: stop).",
        show_default=False,
    ),
]
RuleOption = Annotated[
    Many,
    typer.Option(
        "--rule",
        metavar="GLOB=M",
        help="Another method for some tensors, with parameters as GLOB=M:name=value,… The last that fits counts.",
        show_default=False,
    ),
]
WeightOption = Annotated[
    Many,
    typer.Option("--weight", metavar="NUMBER", help="One for each model, ours first.", show_default=False),
]
ParamOption = Annotated[
    Many,
    typer.Option("--param", metavar="NAME=VALUE", help="A parameter of the methods.", show_default=False),
]
SeedOption = Annotated[
    int | None,
    typer.Option("--seed", metavar="N", help="For methods with chance (default: 0).", show_default=False),
]
BaseOption = Annotated[
    str | None,
    typer.Option(
        "--base",
        metavar="VERSION",
        help="Take this as the common ancestor (default: found in the history).",
        autocompletion=complete.versions,
        show_default=False,
    ),
]
ConfigOption = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="A merge configuration in mergekit's YAML dialect; its models are versions, or SRC… in that order.",
        show_default=False,
    ),
]
AidOption = Annotated[
    Many,
    typer.Option(
        "--aid",
        metavar="KIND=VERSION",
        help="What a method needs beside the models: fisher=VERSION or gram=VERSION, once for each model.",
        show_default=False,
    ),
]
EverywhereOption = Annotated[
    bool,
    typer.Option("--everywhere", help="Use the method also where one side alone changed something."),
]
NoFfOption = Annotated[
    bool, typer.Option("--no-ff", help="Make a version also where DST could just move forward.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Only say what would be done; exits with 1 when it cannot.")
]
AllOption = Annotated[
    bool, typer.Option("--all", help="With --dry-run: list every tensor, file and conflict.")
]
ReplayOption = Annotated[
    str | None,
    typer.Option(
        "--replay",
        metavar="VERSION",
        help="Do that merge again, saving nothing, and check that the same comes of it.",
        autocompletion=complete.versions,
        show_default=False,
    ),
]
NamesOption = Annotated[
    str | None,
    typer.Option(
        "--names",
        metavar="FILE",
        help="How a side renamed tensors: lines old -> new, with * in both (default: found by what they hold).",
        show_default=False,
    ),
]
WithCodeOption = Annotated[
    bool, typer.Option("--with-code", help="Let git merge the code too, in the checkout here.")
]
