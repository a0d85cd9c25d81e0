"""``lepton diff``."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
import typer

from lepton_ai.cli import complete, exits, written
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, ForceOption
from lepton_ai.cli.output import (
    Column,
    coloured,
    note,
    print_facts,
    print_json,
    print_table,
    printable,
    say,
    warn,
)
from lepton_ai.cli.session import opened
from lepton_ai.history.diff import words
from lepton_ai.history.diff.contract import SECTIONS, LayerChange, Part, Report, TensorChange, Told
from lepton_ai.history.diff.tensors import Sort, layer_of

MOST = 40
"""Tensors that are listed unasked; of more, only their layers."""
COLUMNS = (
    Column("Tensor", wrap=True),
    Column("Changed", right=True),
    Column("Moved", right=True),
    Column("Max |Δ|", right=True),
    Column("Cosine", right=True),
    Column("Sizes"),
)
MARKS = {"added": "+", "removed": "-", "changed": "~"}
MOST_TOLD = 20
"""Lines of a section that are shown unasked."""
LONGEST = 60
"""Letters of an attribute that a line shows."""


@examples(
    "lepton diff v1 v2",
    "lepton diff v2",
    "lepton diff production model.safetensors",
    "lepton diff v1 v2 --tensor 'encoder.layer.5.*' --sort max",
    "lepton diff main feature --html difference.html",
)
def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A",
            help="The older side: a version as everywhere, or the path of a file or folder.",
            autocompletion=complete.versions,
            show_default=False,
        ),
    ],
    after: Annotated[
        str | None,
        typer.Argument(
            metavar="[B]",
            help="The newer side. Without it: what A changed of the version before it.",
            autocompletion=complete.versions,
            show_default=False,
        ),
    ] = None,
    tensor: Annotated[
        str | None,
        typer.Option(
            "--tensor", metavar="GLOB", help="Only tensors whose names fit; * lists all.", show_default=False
        ),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Show what is the same, too.")] = False,
    sort: Annotated[
        str,
        typer.Option(
            "--sort", metavar="ORDER", help="moved, max, changed, name or file (as they lie there)."
        ),
    ] = "moved",
    whole: Annotated[
        bool,
        typer.Option("--whole", help="Read all of the tensors that changed, not only blocks that differ."),
    ] = False,
    html: Annotated[
        str | None,
        typer.Option("--html", metavar="FILE", help="Write a page with charts.", show_default=False),
    ] = None,
    branch: BranchOption = None,
    force: ForceOption = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Show what lies between two versions.

    Either may be a file or folder on the disk. Files, tensors (grouped by layer, those that moved furthest first),
    metrics, params, dataset, code, environment, and the architecture of ONNX and Keras models. Moved is the length of
    the change relative to the weights, ‖Δ‖/‖before‖. Blocks that are known to be equal are not read. The exit code is
    0 when nothing differs, else 1.
    """
    target = written.target(html, force=force)
    with opened(repo, as_json=as_json) as repository:
        found = repository.diff(
            before,
            after,
            branch,
            tensor=tensor,
            everything=everything,
            whole=whole,
            sort=_sort(sort),
        )
    if target is not None:
        written.write(target, lambda file: file.write(found.page().encode()))
        note(f"the page is in {target}")
    if as_json:
        plain = msgspec.to_builtins(found)
        print_json(plain | {"differs": found.differs, "verdict": words.verdict(found)})
    else:
        _print(found, listed=tensor is not None or everything, everything=everything)
    return exits.DIFFERENT if found.differs else exits.OK


def _sort(text: str) -> Sort:
    return text  # type: ignore[return-value]  # an unknown one is refused with a list of those that there are


def _print(report: Report, *, listed: bool, everything: bool) -> None:
    say(printable(f"{report.before.label} → {report.after.label}"))
    for line in words.warnings(report):
        warn(line)
    for line in words.verdict(report):
        say(line)
    for line in report.notes:
        note(line)
    _print_tensors(report, listed=listed)
    for name, title in SECTIONS:
        lines = getattr(report, name)
        if lines:
            _print_told(title, lines, everything=everything)
    _print_architecture(report.architecture)
    if report.files:
        say("\nFiles")
        for file in report.files:
            former = file.path_before
            was = f"{former} → " if former and former != file.path else ""
            say(printable(f"  {file.status:<8} {was}{file.path}"))


def _print_told(title: str, lines: Sequence[Told], *, everything: bool) -> None:
    """A section; of a long one only its beginning, and nothing of one that a side lacks altogether."""
    one_sided = len({line.status for line in lines}) == 1 and lines[0].status in ("added", "removed")
    shown = lines if everything or len(lines) <= MOST_TOLD else () if one_sided else lines[:MOST_TOLD]
    say(f"\n{title}")
    print_facts((f"  {line.key}", words.change(line)) for line in shown)
    if rest := len(lines) - len(shown):
        what = f"{rest} {lines[0].status}" if one_sided else f"and {rest} more"
        say(f"  {what}: --all lists them")


def _print_tensors(report: Report, *, listed: bool) -> None:
    numbered = [t for t in report.tensors if t.changed_fraction is not None and (t.changed or listed)]
    others = [t for t in report.tensors if t.status not in ("same", "changed") or t.changed_fraction is None]
    short = not listed and len(numbered) > MOST
    if numbered:
        rows, bold = _rows(report.layers, [] if short else numbered, coloured())
        say("")
        print_table(COLUMNS, rows, bold=bold)
    if short:
        say(f"\n--tensor '*' lists the {len(numbered)} tensors, --tensor 'GLOB' some of them")
    if not short and (text := words.partly(report)):
        say(f"\n{text}")
    for tensor in report.tensors:
        if tensor.note:
            note(f"{tensor.name}: {tensor.note}")
    if others:
        say("\nTensors that came, went or are otherwise")
        for tensor in others:
            say(printable("  " + _line(tensor)))


def _rows(
    layers: Iterable[LayerChange], tensors: list[TensorChange], nested: bool
) -> tuple[list[tuple[str, ...]], set[int]]:
    """The rows of the table and which of them are layers; ``nested``: tensors stand below theirs, without its name."""
    rows: list[tuple[str, ...]] = []
    bold: set[int] = set()
    groups: dict[str, list[TensorChange]] = {}
    for tensor in tensors:
        groups.setdefault(tensor.layer, []).append(tensor)
    names = dict.fromkeys([*(layer.name for layer in layers), *groups])
    by_name = {layer.name: layer for layer in layers}
    for name in names:
        group = groups.get(name, [])
        layer = by_name.get(name)
        if layer is not None and layer.changed_fraction is not None and name and len(group) != 1:
            bold.add(len(rows))
            rows.append(_layer(layer))
        below = nested and name and len(group) > 1
        rows += [_tensor(tensor, below=bool(below)) for tensor in group]
    return rows, bold


def _layer(layer: LayerChange) -> tuple[str, ...]:
    return (
        layer.name,
        words.percent(layer.changed_fraction),
        words.relative(layer.l2_relative),
        words.short(layer.max_abs),
        "",
        "",
    )


def _tensor(tensor: TensorChange, *, below: bool) -> tuple[str, ...]:
    name = tensor.name
    if below and layer_of(name) == tensor.layer:
        name = "  " + name[len(tensor.layer) + 1 :]
    return (
        name,
        words.percent(tensor.changed_fraction),
        words.moved(tensor),
        words.short(tensor.max_abs),
        words.cosine(tensor.cosine),
        words.spark(tensor.histogram),
    )


def _line(tensor: TensorChange) -> str:
    if tensor.status == "renamed":
        return f"renamed   {tensor.name_before} → {tensor.name}"
    return f"{tensor.status:<9} {tensor.name}  {words.kind(tensor)}"


def _print_architecture(parts: Iterable[Part]) -> None:
    files: dict[str, list[Part]] = {}
    for part in parts:
        files.setdefault(part.file, []).append(part)
    for file, group in files.items():
        say(printable(f"\nArchitecture of {file}"))
        for part in group:
            said = ", ".join(_attribute(key, sides) for key, sides in part.attributes.items())
            say(printable(f"  {MARKS[part.status]} {part.kind}  {part.name}" + (f"  {said}" if said else "")))


def _attribute(key: str, sides: tuple[str | None, str | None]) -> str:
    before, after = (side if side is None or len(side) <= LONGEST else f"{side[:LONGEST]}…" for side in sides)
    if before is None or after is None:
        return f"{key}={before if after is None else after}"
    return f"{key}: {before} → {after}"
