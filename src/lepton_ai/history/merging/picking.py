"""One version's change by itself: taken over to another branch, or taken back.

The change is what lies between a version and its parent. Taking it over is a three-way merge whose base is that parent;
taking it back is one whose base is the version, and whose other side is the parent. So it is exact where the branch
still has the tensor that the change began with, and elsewhere the difference is added in float32 (float64 where it is
kept so): ours + (after - before), a task vector. Where the branch made the very same change already, it stays.

Source: Ilharco et al., Editing models with task arithmetic, 2022, https://arxiv.org/abs/2212.04089
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from msgspec.structs import replace

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.history import given, graph
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.lines import Found, Lines
from lepton_ai.history.merging import report
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.plan import Plan
from lepton_ai.history.merging.report import Preview
from lepton_ai.history.merging.run import Making, Merging
from lepton_ai.history.save import Saved

METHOD = "task_arithmetic"
WHOLE = {"weight": 1.0, "normalize": False, "lambda": 1.0}
Kind = Literal["cherry-pick", "revert"]
HOW = "--method, or --on-conflict ours|theirs, says how; --dry-run lists everything"


class Picking:
    """Changes by themselves, over one opened repository."""

    def __init__(self, lines: Lines, merging: Merging) -> None:
        self._lines, self._merging = lines, merging

    def plan(self, kind: Kind, found: Found, into: str, asked: Request) -> tuple[Plan, bytes]:
        """What taking a change over (or back) does to a branch, and what that stands on.

        Raises:
            UsageError: the version has no parent, or the branch (of a revert: never) had it.
            NotFound: the branch is empty.
        """
        label = _label(found)
        head = self._lines.branch(into).head
        if head is None:
            raise NotFound(f"branch {into!r} has no version yet", hint="save one first")
        if not found.row.parents:
            raise UsageError(
                f"{label} is the first of its line: it changed nothing, it is all there is",
                hint="lepton rollback takes a version over as a whole",
            )
        there = graph.has_version(self._lines.history, head, found.row.id)
        if kind == "cherry-pick" and there:
            raise UsageError(
                f"{into} has {label} already", hint="lepton log --graph shows what came from where"
            )
        if kind == "revert" and not there:
            raise UsageError(
                f"{into} never had {label}", hint="lepton log --graph shows what came from where"
            )
        before, after = found.row.parents[0], found.row.id
        first, last = (before, after) if kind == "cherry-pick" else (after, before)
        return self._merging.planned([head, last], [first], asked), head

    def preview(self, kind: Kind, found: Found, into: str, asked: Request) -> Preview:
        """What that would do; of a change that is there already, or undone, the way is "nothing".

        Raises:
            UsageError: there is no such kind; see :meth:`plan`. NotFound: see there.
        """
        if not isinstance(kind, str) or kind not in get_args(Kind):
            raise UsageError("there is no such kind of pick", hint=f"give one of {', '.join(get_args(Kind))}")
        made, _ = self.plan(kind, found, into, asked)
        return foretold(made, into)

    def run(self, kind: Kind, found: Found, into: str, asked: Request, act: Act, message: str) -> Saved:
        """Make the version.

        Raises:
            Diverged: something cannot be added, and nothing was said about it. UsageError, NotFound: see :meth:`plan`.
            LostRace: somebody saved on the branch meanwhile.
        """
        made, head = self.plan(kind, found, into, asked)
        report.refuse(made, into, hint=HOW)
        if made.same_as == 0:
            problem = f"{kind} of {_label(found)} would change nothing on {into}"
            raise UsageError(problem, hint="it is there, or undone, already")
        return self.make(kind, found, into, made, head, act, message)

    def make(
        self, kind: Kind, found: Found, into: str, made: Plan, head: bytes, act: Act, message: str
    ) -> Saved:
        """Make the version that was planned, upon what the branch stood on then.

        Raises:
            LostRace: somebody saved on the branch meanwhile.
        """
        label = _label(found)
        what = f"{label} onto {into}" if kind == "cherry-pick" else f"{label} on {into}"
        said = message or (f"Cherry-pick {label}" if kind == "cherry-pick" else f"Revert {label}")
        return self._merging.make(made, Making(into, head, what, said, found.row.id.hex(), kind=kind), act)


def foretold(made: Plan, into: str) -> Preview:
    """What a planned change would do."""
    told = report.preview(made, into)
    return replace(told, way="nothing") if made.same_as == 0 else told


def _label(found: Found) -> str:
    return f"{found.record.branch}@{found.row.name}"


def whole(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is asked, where the change is added as it is, unless something else is said."""
    if asked.get("method"):
        return dict(asked)
    parameters = given.named(asked.get("parameters") or {}, "parameters")
    return {**asked, "method": METHOD, "parameters": {**WHOLE, **parameters}}
