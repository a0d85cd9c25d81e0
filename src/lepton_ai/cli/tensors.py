"""``lepton tensors`` and ``lepton tensor``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, ForceOption, VersionArgument
from lepton_ai.cli.output import Column, human_size, note, number, print_facts, print_json, print_table
from lepton_ai.cli.session import opened
from lepton_ai.errors import StorageFailed, WouldOverwrite

if TYPE_CHECKING:
    import numpy as np

COLUMNS = (
    Column("Tensor", style="bold", wrap=True),
    Column("Type"),
    Column("Shape"),
    Column("Size", right=True),
    Column("File", style="bright_black", wrap=True),
)


@examples("lepton tensors v2", "lepton tensors feature@v3 --json | jq -r '.[].name'")
def tensors(
    version: VersionArgument, branch: BranchOption = None, repo: Repo = None, as_json: Json = False
) -> None:
    """List the tensors of a version.

    Names, element types and shapes, told without reading the data.
    """
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
    target = Path(output).expanduser() if output else None
    if target is not None and target.exists() and not force:
        raise WouldOverwrite(f"there is a file {target} already", hint="choose another name, or use --force")
    with opened(repo, as_json=as_json) as repository:
        array = repository.version(version, branch).tensor(name)
    facts: dict[str, Any] = {"name": name, "dtype": str(array.dtype), "shape": list(array.shape)}
    facts |= _summary(array)
    if target is not None:
        facts["file"] = str(target)
        _write(array, target)
    if as_json:
        print_json(facts)
        return
    texts = {key: number(value) if isinstance(value, float) else str(value) for key, value in facts.items()}
    print_facts((key, text) for key, text in (texts | {"shape": _shape(array.shape)}).items())


def _summary(array: np.ndarray[Any, np.dtype[Any]]) -> dict[str, Any]:
    """Smallest, largest, mean and standard deviation of what is finite, and how much is zero or not finite."""
    import numpy as np

    numeric = _numbers(array)
    if numeric is None or array.size == 0:
        return {"elements": int(array.size), "nbytes": int(array.nbytes)}
    finite = numeric[np.isfinite(numeric)]
    facts: dict[str, Any] = {"elements": int(array.size), "nbytes": int(array.nbytes)}
    if finite.size:
        wide = finite.astype(np.float64)
        facts |= {"min": float(wide.min()), "max": float(wide.max())}
        facts |= {"mean": float(wide.mean()), "std": float(wide.std())}
    return facts | {
        "zeros": int(array.size - np.count_nonzero(numeric)),
        "not_finite": int(array.size - finite.size),
    }


def _numbers(array: np.ndarray[Any, np.dtype[Any]]) -> np.ndarray[Any, np.dtype[Any]] | None:
    """The array as a type that numpy itself knows and calculates with; None for texts and complex numbers."""
    import numpy as np

    if array.dtype.kind in "biuf":
        return array
    if array.dtype.kind == "V" and array.dtype.names is None:
        try:
            return array.astype(np.float32)  # bfloat16, float8, int4 …: exact, they all fit
        except (TypeError, ValueError):
            return None
    return None


def _write(array: np.ndarray[Any, np.dtype[Any]], target: Path) -> None:
    """Write the array as .npy; whole or not at all."""
    import numpy as np

    if array.dtype.kind == "V" and (wider := _numbers(array)) is not None:
        note(f".npy has no {array.dtype}: it is written as {wider.dtype}, which holds every value exactly")
        array = wider
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        part.replace(target)
    except OSError as problem:
        raise StorageFailed(
            f"{target} cannot be written: {problem.strerror}", hint="check the path and its permissions"
        ) from problem
    finally:
        part.unlink(missing_ok=True)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape) or "scalar"
