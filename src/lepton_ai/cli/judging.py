"""Options for letting a program choose between candidates, as merge and resolve have them."""

from __future__ import annotations

from typing import Annotated

import typer

EvaluateOption = Annotated[
    str | None,
    typer.Option(
        "--evaluate",
        metavar="CMD",
        help="Try the candidates: run CMD on each one's files ({dir}: their folder), keep the best by what it prints.",
        show_default=False,
    ),
]
CandidateOption = Annotated[
    list[str] | None,
    typer.Option(
        "--candidate",
        metavar="ours|theirs|M",
        help="What to try; may be repeated (default: ours, theirs, linear).",
        show_default=False,
    ),
]
ByOption = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="METRIC", help="The metric to judge by, where CMD prints several.", show_default=False
    ),
]
BestOption = Annotated[
    str | None,
    typer.Option(
        "--best",
        metavar="highest|lowest",
        help="Which value is best (default: lowest for a loss or error, else highest).",
        show_default=False,
    ),
]
