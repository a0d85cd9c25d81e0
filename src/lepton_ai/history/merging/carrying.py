"""What the merged version carries besides its files: params, dataset, code and environment."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from lepton_ai.history.merging import code, metadata
from lepton_ai.history.merging.deciding import decide
from lepton_ai.history.merging.sides import Side
from lepton_ai.history.save import EMPTY
from lepton_ai.types import Code, Environment, Record


def carried(
    models: list[Side], bases: list[Side], same_as: int | None, *, with_code: bool = False
) -> tuple[Record, list[str]]:
    """The record to begin with, and what is to be said of it; where both changed something differently, ours stays.

    ``same_as``: the model whose files the merge has, all of them; None for none. ``with_code``: git merges the code.
    """
    base = bases[0].record if bases else None
    found = metadata.merge(base, [side.record for side in models], same_as)
    notes = [f"{clash.where} {clash.key} was changed on both sides: ours stays" for clash in found.clashes]
    notes += found.left_out
    kept, said = _code(base, [side.record for side in models])
    record = replace(
        EMPTY,
        params=found.params,
        metrics=found.metrics,
        dataset=found.dataset,
        training=found.training,
        code=kept,
        environment=_environment(base, [side.record for side in models], notes),
    )
    return record, notes + [f"the code of {line}; ours stays" for line in said if not with_code]


def _environment(base: Record | None, sides: list[Record], notes: list[str]) -> Environment | None:
    """That in which the models were trained."""
    before = [] if base is None else [base.environment]
    found = decide([side.environment for side in sides], before, lambda one, other: one == other)
    if found.kind == "conflict":
        notes.append("the environment (Python, packages) was changed on both sides: ours stays")
    return sides[found.taken].environment


def _code(base: Record | None, sides: list[Record]) -> tuple[Code | None, list[str]]:
    """One side after the other, since two commits are compared at a time."""
    ask = code.ancestry_in(Path())
    kept, said = sides[0].code, list[str]()
    for side in sides[1:]:
        merged = code.merge(base.code if base else None, kept, side.code, ask)
        kept = merged.code
        said += [merged.said] if not merged.clean else []
    return kept, said
