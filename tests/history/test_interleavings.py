"""Every operation, with every other one done as a whole between what it was computed from and its commit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from lepton_ai import errors
from lepton_ai.history import graph, states
from lepton_ai.history.changes import deletion
from lepton_ai.history.changes.attempt import attempt
from lepton_ai.history.lines import MAIN, Branch
from lepton_ai.history.refs.contract import Commit
from lepton_ai.history.refs.memory import MemoryHistory

from .worlds import World


class Interrupted(MemoryHistory):
    """Lets somebody else act before its next commit."""

    def __init__(self) -> None:
        super().__init__()
        self.others: Callable[[], object] | None = None

    def commit(self, change: Commit) -> None:
        """Apply a change, after what others do."""
        others, self.others = self.others, None
        if others is not None:
            others()
        super().commit(change)


def _world() -> tuple[World, Interrupted]:
    """main: v1 v2 v3 (v4 deleted); feat from v2 with two more, ff from v3 with one more; old is deleted."""
    history = Interrupted()
    world = World(history)
    for content in range(4):
        world.save(content=content)
    world.delete("v4")
    world.branch("feat", "v2")
    world.save("feat", 10)
    world.save("feat", 11)
    world.branch("old", "v3")
    world.save("old", 20)
    world.delete_branch("old")
    world.branch("ff", "v3")
    world.save("ff", 30)
    world.label("tag", "gold", "v1")
    world.label("alias", "live", "feat@v3")
    return world, history


def _purge(world: World) -> None:
    """What gc does to the history."""
    act = world.act()
    firsts = [row.id for _, row in world.history.page(limit=1000)]
    attempt(world.history, lambda: deletion.purge(world.lines, firsts, act.at, act))


OPERATIONS: dict[str, Callable[[World], object]] = {
    "save": lambda w: w.save(content=50),
    "save to ff": lambda w: w.save("ff", 51),
    "update v1": lambda w: w.update("v1", 52),
    "update v2": lambda w: w.update("v2", 53),
    "update v3": lambda w: w.update("v3", 54),
    "update ff": lambda w: w.update("ff", 55),
    "delete v2": lambda w: w.delete("v2"),
    "delete v3": lambda w: w.delete("v3"),
    "delete ff": lambda w: w.delete("ff"),
    "delete feat": lambda w: w.delete("feat"),
    "delete feat@v3": lambda w: w.delete("feat@v3"),
    "restore v4": lambda w: w.restore("v4"),
    "merge ff": lambda w: w.merge("ff"),
    "merge main into ff": lambda w: w.merge(MAIN, "ff"),
    "branch from v2": lambda w: w.branch("new", "v2"),
    "branch from v3": lambda w: w.branch("new", "v3"),
    "branch from feat": lambda w: w.branch("new", "feat"),
    "branch old anew": lambda w: w.branch("old"),
    "delete branch feat": lambda w: w.delete_branch("feat"),
    "delete branch ff": lambda w: w.delete_branch("ff"),
    "restore branch old": lambda w: w.restore_branch("old"),
    "rename feat": lambda w: w.rename("feat", "renamed"),
    "rename feat to old": lambda w: w.rename("feat", "old"),
    "tag v3": lambda w: w.label("tag", "silver", "v3"),
    "tag feat@v3": lambda w: w.label("tag", "silver", "feat@v3"),
    "alias to v3": lambda w: w.label("alias", "live", "v3"),
    "alias to feat": lambda w: w.label("alias", "live", "feat"),
    "no tag": lambda w: w.unlabel("tag", "gold"),
    "no alias": lambda w: w.unlabel("alias", "live"),
    "gc": _purge,
}


@pytest.mark.parametrize("first", OPERATIONS)
def test_whatever_others_do_meanwhile(first: str) -> None:
    problems = []
    for second in OPERATIONS:
        world, history = _world()
        before = _branches(world)
        history.others = lambda w=world, name=second: _try(w, name)
        _try(world, first)
        problems += [f"{first} | {second}: {problem}" for problem in _problems(world, before)]
        if not problems:
            _purge(world)
            problems += [f"{first} | {second}, then gc: {p}" for p in _problems(world, before)]
    assert problems == []


def test_the_operations_can_be_done() -> None:
    for name, operation in OPERATIONS.items():
        world, _ = _world()
        try:
            operation(world)
        except errors.InUse:
            assert name == "delete feat@v3"


def _try(world: World, name: str) -> None:
    with suppress(errors.UsageError, errors.LostRace, errors.Diverged):  # it came too late, and says so
        OPERATIONS[name](world)


def _branches(world: World) -> set[str]:
    """The lasting identities of all branches, deleted ones included."""
    refs = [*world.history.scan("branch/"), *world.history.scan("gone/")]
    return {states.decode(states.BranchState, ref).uid for ref in refs}


def _problems(world: World, before: set[str]) -> Iterator[str]:
    if not before <= _branches(world):
        yield "a branch is lost"
    yield from _label_problems(world)
    for branch in world.lines.branches():
        yield from _branch_problems(world, branch)


def _label_problems(world: World) -> Iterator[str]:
    """A label is on a living version, which knows of it."""
    known = world.lines.states([row.id for _, row in world.history.page(limit=1000)])
    pins = {(pin, first) for first, (_, state) in known.items() for pin in state.pins}
    labels = set()
    for ref in (*world.history.scan("tag/"), *world.history.scan("alias/")):
        found = world.lines.version(bytes.fromhex(states.decode(states.LabelState, ref).version))
        labels.add((ref.key, found.row.first))
        if not found.living:
            yield f"{ref.key} is on {found.row.name}, which is deleted"
    if pins != labels:
        yield f"labels and pins differ: {pins ^ labels}"


def _branch_problems(world: World, branch: Branch) -> Iterator[str]:
    """A branch stands on the newest revision of a living version, and every name on its line means one version."""
    line = world.history.get([f"line/{branch.state.uid}"])[f"line/{branch.state.uid}"]
    if states.decode(states.LineState, line).name != branch.name:
        yield f"{branch.name} is not found by its identity"
    if branch.head is None:
        return
    head = world.lines.version(branch.head)
    if not head.living:
        yield f"{branch.name} stands on {head.row.name}, which is deleted"
    if head.newest != branch.head:
        yield f"{branch.name} stands on an older revision of {head.row.name}"
    for row in world.history.versions(list(graph.ancestors(world.history, [branch.head]))).values():
        state = world.lines.states([row.first])[row.first][1]
        if state.deleted is not None and state.deleted.branch is not None:
            yield f"{branch.name} needs {row.name}, which went with {state.deleted.branch}"
    names: dict[str, set[bytes]] = {}
    for row in world.lines.line(branch):
        if world.lines.states([row.first])[row.first][1].deleted is None:
            names.setdefault(row.name, set()).add(row.first)
    yield from (f"{branch.name} has two versions {name}" for name, firsts in names.items() if len(firsts) > 1)
