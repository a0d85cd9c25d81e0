"""How ``lepton merge`` tells what it did, or would do."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lepton_ai.cli import exits
from lepton_ai.cli.merge_fates import print_fates, print_lines
from lepton_ai.cli.output import human_size, note, plural, print_json, say
from lepton_ai.cli.results import Made

if TYPE_CHECKING:
    from lepton_ai.history.merging.outcome import Outcome

WORDS = {
    "same": "as in the common ancestor",
    "ours": "of ours",
    "theirs": "of theirs",
    "both": "changed equally",
    "merged": "merged by a method",
    "removed": "removed",
    "conflict": "in conflict",
}


def print_made(brought: tuple[Made, Outcome | None] | None, sources: str, into: str, *, as_json: bool) -> int:
    """Say what came of a merge; the exit code."""
    if brought is None:
        if as_json:
            print_json(None)
        else:
            say(f"{into} has everything of {sources} already")
        return exits.OK
    version, done = brought
    version.print(f"merged {sources} into {into}, which stands on", as_json=as_json)
    if done is not None and not as_json:
        counts: dict[str, int] = {"same": done.same}
        for one in done.tensors:
            counts[one.outcome] = counts.get(one.outcome, 0) + 1
        say(f"  {counted(counts)}; {human_size(done.read)} of tensors read")
    return exits.OK


def print_preview(told: dict[str, Any], *, everything: bool, as_json: bool) -> int:
    """Say what a merge would do, of long lists the first lines; the exit code."""
    if as_json:
        print_json(told)
        return exits.OK if told["possible"] else exits.DIFFERENT
    into, models = told["into"], " and ".join(told["models"])
    if told["way"] != "merge":
        does = {
            "nothing": f"{into} has everything of {models or 'it'} already",
            "fast-forward": f"{into} would move forward to {models}; nothing would be computed",
            "take": f"{into} would get a version with the content of {models}",
        }
        say(does[told["way"]])
        return exits.OK if told["possible"] else _print_verdict(told, everything=everything)
    say(f"would merge {models} into {into}; common ancestor: {', '.join(told['bases']) or 'none'}")
    say(f"  tensors: {counted(told['counts'])}")
    say(
        f"  would read {human_size(told['to_read'])} of {human_size(told['total'])} for methods,"
        f" and pass {human_size(told['to_pass'])} on into files; {human_size(told['read'])} read to decide"
    )
    print_fates(told, everything=everything)
    for text in told["notes"]:
        note(text)
    return _print_verdict(told, everything=everything)


def print_steps(told: list[dict[str, Any]], *, everything: bool) -> int:
    """Say what a rebase would do with each version, up to the first that it cannot take over; the exit code."""
    for step in told:
        into, model = step["into"], step["models"][-1]
        if step["way"] == "nothing":
            say(f"{model}: {into} has its change already")
        elif step["possible"]:
            say(f"{model}: would be taken over onto {into}; tensors: {counted(step['counts'])}")
        else:
            say(f"{model}: cannot be taken over onto {into} like this; tensors: {counted(step['counts'])}")
            return _print_verdict(step, everything=everything)
    say("they can be taken over like this")
    return exits.OK


def print_pick(told: dict[str, Any], *, everything: bool, as_json: bool) -> int:
    """Say what a cherry-pick or revert would do; the exit code."""
    if as_json:
        print_json(told)
        return exits.OK if told["possible"] else exits.DIFFERENT
    if told["way"] == "nothing":
        say(f"it would change nothing on {told['into']}")
        return exits.OK
    say(f"would change {told['into']}; tensors: {counted(told['counts'])}")
    print_fates(told, everything=everything)
    for text in told["notes"]:
        note(text)
    return _print_verdict(told, everything=everything)


def _print_verdict(told: dict[str, Any], *, everything: bool) -> int:
    print_lines([f"cannot: {text}" for text in told["obstacles"]], everything=everything)
    if told["conflicts"]:
        how = "" if told["possible"] else ": --method, --rule or --on-conflict say how"
        say(f"{plural(len(told['conflicts']), 'conflict')} to be decided{how}")
        lines = [f"  {one['kind']} {one['name']}: {one['why']}" for one in told["conflicts"]]
        print_lines(lines, everything=everything)
    if told["possible"]:
        say("it can be merged like this")
        return exits.OK
    return exits.DIFFERENT


def counted(counts: Mapping[str, int]) -> str:
    """Tensors by what becomes of them, in words."""
    return ", ".join(f"{counts[key]} {word}" for key, word in WORDS.items() if counts.get(key)) or "none"
