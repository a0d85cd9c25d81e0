"""Who changed what: three-way, for any number of models and of common ancestors.

A value that any common ancestor has is one that the others have seen and gone on from; a model that still has it did
not change it. So of several ancestors (branches merged crosswise) none has to be preferred, and no virtual one to be
made up. With one ancestor and two models this is the usual three-way merge.

Source: N. Smith, "mark-merge", 2005, the merger of the Monotone version control system, for values instead of marks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, TypeVar

T = TypeVar("T")

Kind = Literal["same", "one", "both", "conflict"]


class Decision(NamedTuple):
    """``kind``: nobody differs, one model alone changed it, several did in the same way, or differently.

    ``taken`` is the number of the model whose value counts (0: ours).
    """

    kind: Kind
    taken: int = 0


def decide(models: Sequence[T], bases: Sequence[T], same: Callable[[T, T], bool]) -> Decision:
    """Which model's value counts. ``same`` says whether two values are equal (None: it is not there)."""
    if all(same(models[0], other) for other in models[1:]):
        known = any(same(models[0], base) for base in bases)
        return Decision("same" if known else "both")
    changed = [n for n, one in enumerate(models) if not any(same(one, base) for base in bases)]
    if not changed:
        return Decision("conflict")
    if all(same(models[changed[0]], models[n]) for n in changed[1:]):
        return Decision("one" if len(changed) == 1 else "both", changed[0])
    return Decision("conflict")
