"""What a decision in a merge under way means: which conflicts it fits, and which decision counts for each."""

from __future__ import annotations

from fnmatch import fnmatchcase

from msgspec.structs import replace

from lepton_ai.errors import Diverged, NotFound, UsageError
from lepton_ai.history import states
from lepton_ai.history.changes.attempt import Act
from lepton_ai.history.record import timestamp


def no_conflict(name: str) -> NotFound:
    """The error that says so."""
    return NotFound(f"{name!r} is no conflict of this merge", hint="lepton conflicts lists them")


def decided(state: states.MergeState, name: str) -> states.Resolution | None:
    """The last resolution that fits a conflict's name."""
    fitting = (one for one in reversed(state.resolutions) if fits(one.target, name))
    return next(fitting, None)


def fits(target: str, name: str) -> bool:
    """Whether a name is meant: it is the target itself, or the target is a glob that fits it."""
    return target == name or fnmatchcase(name, target)


def meant(state: states.MergeState, target: str, *, again: bool = False) -> list[states.Conflict]:
    """The conflicts that are to be decided: the one called so, or of those that a glob fits the open ones.

    With ``again`` a glob means the decided ones, too.

    Raises:
        NotFound: there is none. Diverged: all are decided.
    """
    found = [conflict for conflict in state.conflicts if fits(target, conflict.name)]
    if not found:
        raise no_conflict(target)
    if again or _is_name(state, target):
        return found
    left = [conflict for conflict in found if decided(state, conflict.name) is None]
    if not left:
        count = "the conflict" if len(found) == 1 else f"all {len(found)} conflicts"
        raise Diverged(
            f"{count} that {target!r} fits {'is' if len(found) == 1 else 'are'} decided already",
            hint="name the one that you mean, or say --again",
        )
    return left


def with_one(
    state: states.MergeState, resolution: states.Resolution, *, again: bool = False
) -> states.MergeState:
    """The state with one more resolution: the last that fits counts, so a glob for what is open comes first."""
    kept = tuple(one for one in state.resolutions if one.target != resolution.target)
    last = again or _is_name(state, resolution.target)
    return replace(state, resolutions=(*kept, resolution) if last else (resolution, *kept))


def _is_name(state: states.MergeState, target: str) -> bool:
    return any(conflict.name == target for conflict in state.conflicts)


def check_kinds(resolution: states.Resolution, meant: list[states.Conflict]) -> None:
    """Raise UsageError when one of these conflicts cannot be decided so."""
    for conflict in meant:
        if resolution.how == "method" and conflict.kind != "tensor":
            raise UsageError(
                f"{conflict.name} is no tensor: no method merges it",
                hint="--ours, --theirs, --base or --file",
            )
        if resolution.how != "ours" and conflict.kind == "meaning":
            raise UsageError(
                f"{conflict.name} is nothing to take or give: {conflict.why}",
                hint="--ours goes on in spite of it; or give one side the numbers of the other, and merge that",
            )
    if resolution.how == "file" and len(meant) > 1:
        raise UsageError(
            f"{resolution.target!r} means {len(meant)} conflicts, and one file is given", hint="name one"
        )


def refuse_others(state: states.MergeState, meant: list[states.Conflict], act: Act) -> None:
    """Raise Diverged when somebody else decided one of these conflicts."""
    for conflict in meant:
        before = decided(state, conflict.name)
        if before is not None and before.by != act.actor:
            what = before.method or ("a file" if before.how == "file" else before.how)
            why = f" ({before.why})" if before.why else ""
            raise Diverged(
                f"{before.by} decided for {conflict.name} already, at {timestamp(before.at)[:16]}: {what}{why}",
                hint="leave it so, or decide otherwise with --force",
            )
