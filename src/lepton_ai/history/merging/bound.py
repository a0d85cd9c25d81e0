"""What was told for each model of a merge that waits belongs to these models, and to no others."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import Diverged, UsageError
from lepton_ai.history.changes import merging as rules
from lepton_ai.history.lines import Lines
from lepton_ai.history.merging import asked
from lepton_ai.history.merging.asked import Request


def same_models(lines: Lines, under: rules.UnderWay, head: str) -> bool:
    """Whether a merge that goes on upon ``head``, on which its branch stands now, has that in the place of ours alone.

    If not, "theirs" and the like mean other models than they did.

    Raises:
        Diverged: with that others are models of the merge, so that what was told for each does not fit.
    """
    state = under.state
    before = rules.models(lines, state)
    after = rules.models(lines, msgspec.structs.replace(state, ours=head))
    newest = bytes.fromhex(head)
    if after == [newest if id_.hex() == state.ours else id_ for id_ in before]:
        return True
    problem = _problem(under, len(before), len(after))
    if problem:
        raise Diverged(
            f"{under.branch} moved on to {_called(lines, [newest])}, so the models of the merge are"
            f" {_called(lines, after)} now, not {_called(lines, before)}: {problem}",
            hint="lepton merge --abort gives it up; then merge again, with what is right for these models",
        )
    return False


def _problem(under: rules.UnderWay, before: int, after: int) -> str:
    request = msgspec.convert(under.state.request, ready(Request))
    told = [request.parameters, *(rule.parameters for rule in request.rules)]
    told += [choice.parameters for choice in request.choices]
    told += [resolution.parameters for resolution in under.state.resolutions]
    several = sorted(set(_several(told)))
    if several:
        return f"{', '.join(several)} was told for each of the {before}"
    named = {request.method, *(rule.method for rule in request.rules)}
    if "take_theirs" in named:
        return "theirs is another one"
    try:
        asked.check_models(request, after)
    except UsageError as problem:
        return problem.message
    return ""


def _several(told: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    """The names of parameters that have a value for each model."""
    return (name for one in told for name, value in one.items() if isinstance(value, list | tuple))


def _called(lines: Lines, ids: Iterable[bytes]) -> str:
    found = [lines.version(id_) for id_ in ids]
    return ", ".join(f"{one.record.branch}@{one.row.name}" for one in found)
