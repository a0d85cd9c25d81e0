"""``lepton tensors`` and ``lepton tensor``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lepton_ai.cli import tensor_history, written
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, ForceOption, VersionArgument
from lepton_ai.cli.output import Column, human_size, note, number, print_facts, print_json, print_table
from lepton_ai.cli.session import opened
from lepton_ai.errors import UsageError
from lepton_ai.telling.tensors import numbers, summary

if TYPE_CHECKING:
    import numpy as np

HISTORY = "history"
COLUMNS = (
    Column("Tensor", style="bold", wrap=True),
    Column("Type"),
    Column("Shape"),
    Column("Size", right=True),
    Column("File", style="bright_black", wrap=True),
)


@examples(
    "lepton tensors v2",
    "lepton tensors feature@v3 --json | jq -r '.[].name'",
    "lepton tensors history layers.0.weight --stat mean",
    "lepton tensors history layers.0.weight --element 3,7 -b feature --html weight.html",
)
def tensors(
    version: VersionArgument,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]", help="After the word history: the tensor to follow.", show_default=False
        ),
    ] = None,
    element: Annotated[
        str | None,
        typer.Option("--element", metavar="I,J", help="Of history: one element.", show_default=False),
    ] = None,
    stat: Annotated[
        str | None,
        typer.Option(
            "--stat",
            metavar="NAME",
            help="Of history: norm (default), mean, std, min, max, rms, nan, inf or moved.",
            show_default=False,
        ),
    ] = None,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Of history: write a page.", show_default=False),
    ] = None,
    branch: BranchOption = None,
    force: ForceOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """List the tensors of a version, or follow one through all versions of a branch.

    Names, element types and shapes, told without reading the data.

    `lepton tensors history NAME` shows a statistic of the tensor NAME, or one of its elements, version by version, with
    what the params say of the update that led there. (Without a NAME, history is a version like any other.)
    """
    if name is not None:
        if version != HISTORY:
            raise UsageError(f"{name!r} is one argument too many", hint=f"lepton tensor {version} {name}")
        tensor_history.history(name, branch, element, stat, written.target(html, force=force), repo, as_json)
        return
    if element or stat or html:
        raise UsageError(
            "--element, --stat and --html are for a tensor's history", hint="lepton tensors history NAME"
        )
    with opened(repo, as_json=as_json) as repository:
        found = repository.version(version, branch).tensors()
    if as_json:
        print_json(found)
    elif found:
        print_table(
            COLUMNS, ((t.name, t.dtype, _shape(t.shape), human_size(t.nbytes), t.file) for t in found)
        )
    else:
        note("no file of this version has tensors that can be seen")


@examples("lepton tensor v2 layers.0.weight", "lepton tensor v2 layers.0.weight -o weight.npy")
def tensor(
    version: VersionArgument,
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="The tensor, or FILE:NAME when several files have it.")
    ],
    output: Annotated[
        str | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write it as .npy.", show_default=False),
    ] = None,
    branch: BranchOption = None,
    force: ForceOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Read one tensor of a version.

    Only its own blocks are read, not the rest of the model. Shows shape, type and a summary of its numbers.
    """
    target = written.target(output, force=force)
    with opened(repo, as_json=as_json) as repository:
        array = repository.version(version, branch).tensor(name)
    facts: dict[str, Any] = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
    facts |= summary(array)
    if target is not None:
        facts["file"] = str(target)
        _write(array, target)
    if as_json:
        print_json(facts)
        return
    texts = {key: number(value) if isinstance(value, float) else str(value) for key, value in facts.items()}
    print_facts((key, text) for key, text in (texts | {"shape": _shape(array.shape)}).items())


def _write(array: np.ndarray[Any, np.dtype[Any]], target: Path) -> None:
    """Write the array as .npy; whole or not at all."""
    import numpy as np

    if array.dtype.kind == "V" and (wider := numbers(array)) is not None:
        note(f".npy has no {array.dtype}: it is written as {wider.dtype}, which holds every value exactly")
        array = wider
    written.write(target, lambda file: np.save(file, array, allow_pickle=False))


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape) or "scalar"
