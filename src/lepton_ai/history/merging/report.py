"""A merge told before it is made."""

from __future__ import annotations

from collections import Counter

import msgspec

from lepton_ai.errors import Diverged
from lepton_ai.history.diff.words import introducing
from lepton_ai.history.merging.outcome import TensorFate, outcome
from lepton_ai.history.merging.plan import FileFate, Plan
from lepton_ai.history.states import Conflict

SHOWN = 3


class Preview(msgspec.Struct, frozen=True):
    """What a merge would do.

    ``way``: "nothing" is new, "fast-forward" (the branch moves, nothing is computed), "take" (a version with the
    source's content), or "merge". ``bases`` are the common ancestors; with several, branches were merged crosswise.
    ``compatible``: no ``obstacles``; ``possible``: no open ``conflicts`` either. ``counts``: tensors by what becomes of
    them. Of bytes: ``to_read`` by methods, ``to_pass`` through into files that are put together, ``read`` to decide,
    and ``total`` of the tensors of all versions that take part, common ancestors too.
    """

    way: str
    into: str
    models: tuple[str, ...] = ()
    bases: tuple[str, ...] = ()
    possible: bool = True
    compatible: bool = True
    counts: dict[str, int] = {}
    files: tuple[FileFate, ...] = ()
    tensors: tuple[TensorFate, ...] = ()
    conflicts: tuple[Conflict, ...] = ()
    obstacles: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    to_read: int = 0
    to_pass: int = 0
    read: int = 0
    total: int = 0


def preview(plan: Plan, into: str) -> Preview:
    """What a plan would do."""
    done = outcome(plan)
    sides = [*plan.models, *plan.bases, *(side for some in plan.aids.values() for side in some)]
    return Preview(
        "merge",
        into,
        tuple(side.label for side in plan.models),
        tuple(side.label for side in plan.bases),
        plan.possible,
        not plan.obstacles,
        dict(Counter(fate.outcome for fate in plan.fates)),
        done.files,
        done.tensors,
        tuple(plan.conflicts),
        tuple(plan.obstacles),
        tuple(notes(plan)),
        plan.to_read,
        plan.to_pass,
        done.read,
        sum(side.tensors.nbytes for side in sides),
    )


def notes(plan: Plan) -> list[str]:
    """What people should know about a merge."""
    came = outcome(plan).introduces if plan.introduced else ()
    found = [*introducing("the merge", came), *plan.notes]
    if not plan.bases:
        found.append("there is no common ancestor: everything that differs is a conflict")
    if len(plan.bases) > 1:
        labels = ", ".join(side.label for side in plan.bases)
        found.append(
            f"merged crosswise before, so there are several common ancestors ({labels}); what equals any of them "
            f"counts as unchanged, and methods take differences to {plan.bases[0].label}"
        )
    return found


def refuse(plan: Plan, into: str, *, hint: str | None = None) -> None:
    """Raise Diverged when a plan cannot be carried out; ``hint``: what helps, where it is not what helps a merge."""
    if plan.obstacles:
        more = f" (and {len(plan.obstacles) - 1} more)" if len(plan.obstacles) > 1 else ""
        raise Diverged(
            f"{_theirs(plan)} cannot be merged into {into!r}: {plan.obstacles[0]}{more}",
            hint=hint
            or "--dry-run lists everything; --on-conflict ours or theirs takes a side where both changed something",
        )
    if plan.conflicts:
        first, count = plan.conflicts[0], len(plan.conflicts)
        named = ", ".join(conflict.name for conflict in plan.conflicts[:SHOWN])
        more = f" and {count - SHOWN} more" if count > SHOWN else ""
        kinds = {conflict.kind for conflict in plan.conflicts}
        what = next(iter(kinds)) if len(kinds) == 1 and kinds != {"meaning"} else "place"
        raise Diverged(
            f"{_theirs(plan)} cannot be merged into {into!r} yet: they conflict in {count}"
            f" {what}{'s' if count > 1 else ''}: {named}{more} ({first.name}: {first.why})",
            hint=hint
            or "choose --method (linear, ties …), --rule for single ones, or --on-conflict ours|theirs;"
            " --dry-run lists them",
        )


def _theirs(plan: Plan) -> str:
    return " and ".join(side.label for side in plan.models[1:])
