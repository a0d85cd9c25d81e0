"""Which of our branches goes on with which of the source's: ours never go back, and never lose what people saved."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from lepton_ai.history import graph, states
from lepton_ai.history.changes import branches as changes
from lepton_ai.history.changes.attempt import Act, Result, attempt
from lepton_ai.history.lines import Branch, Found, Lines
from lepton_ai.history.refs.contract import Commit
from lepton_ai.incoming.naming import ref_name
from lepton_ai.incoming.report import Report

SHORT = 8
"""Letters of a reference in the name of a branch."""


class Placing:
    """Finds or makes the branch that a version goes onto. ``target`` is ours that the source's main one goes onto."""

    def __init__(
        self, lines: Lines, main: str, target: str, act: Act, report: Report, *, fresh: bool, asked: bool
    ) -> None:
        self._lines, self._main, self._act = lines, main, act
        self._target = target
        self._onto = "" if asked else "the main branch goes onto this one"
        self._report, self._fresh = report, fresh

    def ours(self, branch: str) -> str:
        """What a branch of the source is called here, as long as nothing is in the way."""
        return self._target if branch == self._main else ref_name(branch, "branch")

    def place(self, branch: str, parent: Found | None, reference: str, *, follows: bool = False) -> Branch:
        """A branch that stands on ``parent`` (None: on nothing) for what comes next on the source's ``branch``.

        What ``follows`` goes onto the branch whatever it stands on.
        """
        for name, why in self._candidates(branch, parent, reference):
            there = self._there(name)
            if there is None:
                self._report.rename("branch", branch, name, why)
                return self._made(name, parent)
            if follows or self._fits(there, parent, branch):
                self._report.rename("branch", branch, name, why)
                return self._forward(there, parent)
        raise AssertionError("unreachable: the last candidate is free")

    def settle(self, branch: str, tip: Found, reference: str) -> None:
        """Let ours stand where the source's branch stands, unless ours has versions of its own since."""
        there = self._there(self.ours(branch))
        if there is not None and there.head is not None:
            head = self._lines.version(there.head)
            if graph.has_version(self._lines.history, head.row.id, tip.row.id):
                return
        self.place(branch, tip, reference)

    def clear(self, names: Iterable[str]) -> None:
        """Delete branches that the source does not have, of which every version was merged."""
        for name in sorted({self.ours(name) for name in names}):
            there = self._there(name)
            if there is None or there.head is None:
                continue
            others = [b.head for b in self._lines.branches() if b.head and b.name != name]
            if there.head in graph.ancestors(self._lines.history, others):
                self._delete(name)

    def _delete(self, name: str) -> None:
        attempt(self._lines.history, lambda: changes.delete(self._lines, name, self._act))

    def _candidates(self, branch: str, parent: Found | None, reference: str) -> Iterable[tuple[str, str]]:
        name = self.ours(branch)
        onto = self._onto if branch == self._main else "it cannot be called so here"
        if name not in self._labels():
            yield name, onto
        apart = f"{name} has other versions here"
        if parent is not None:
            for other in self._lines.branches():
                if other.name.startswith(f"{name}-") and other.head and self._same(other.head, parent):
                    yield other.name, apart
        short = ref_name(f"{name}-{reference[:SHORT]}", "branch")
        yield short, apart
        number = 2
        while True:
            yield f"{short}-{number}", apart
            number += 1

    def _labels(self) -> set[str]:
        """Names that tags and aliases have taken."""
        return {
            ref.key.partition("/")[2] for kind in ("tag/", "alias/") for ref in self._lines.history.scan(kind)
        }

    def _there(self, name: str) -> Branch | None:
        return next((branch for branch in self._lines.branches() if branch.name == name), None)

    def _fits(self, there: Branch, parent: Found | None, branch: str) -> bool:
        """Whether what builds upon ``parent`` can go onto a branch, perhaps after it was moved forward to there."""
        if there.head is None:
            return True
        if parent is None:
            return self._fresh and branch == self._main
        head = self._lines.version(there.head)
        place = graph.ancestor_at(self._lines.history, parent.row, head.row.depth)
        return place is not None and place.first == head.row.first

    def _same(self, head: bytes, found: Found) -> bool:
        return self._lines.version(head).row.first == found.row.first

    def _made(self, name: str, parent: Found | None) -> Branch:
        attempt(
            self._lines.history,
            lambda: changes.create(self._lines, name, self._act, base=parent, exist_ok=True),
        )
        return self._lines.branch(name)

    def _forward(self, there: Branch, parent: Found | None) -> Branch:
        """The branch, moved to ``parent`` if it stands behind it."""
        if parent is None or (there.head is not None and self._same(there.head, parent)):
            return there

        def build() -> Result[None]:
            branch, found = self._lines.branch(there.name), self._lines.version(parent.newest)
            high = max(branch.state.high, found.state.high)
            state = replace(branch.state, head=found.newest.hex(), high=high)
            moves = (states.set_(branch.ref.key, branch.ref, state), states.hold(found.ref))
            act = self._act
            return Result(Commit(act.actor, "import (fast-forward)", act.why, act.at, moves), None)

        attempt(self._lines.history, build)
        return self._lines.branch(there.name)
