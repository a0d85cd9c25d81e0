"""Tags and aliases of a source as tags and aliases here."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from lepton_ai.errors import AlreadyExists
from lepton_ai.history import states
from lepton_ai.history.changes import labels as changes
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.lines import Found, Lines
from lepton_ai.incoming.contract import Label, Left
from lepton_ai.incoming.naming import ref_name
from lepton_ai.incoming.report import Named, Report

ALLOWED = "it cannot be called so here"
TAKEN = "something else is called so here"


class Labelling:
    """Sets labels. ``imported`` tells whether a version (by the id of its first revision) came from this source."""

    def __init__(
        self, lines: Lines, find: Callable[[str], Found | None], imported: Collection[bytes], report: Report
    ) -> None:
        self._lines, self._find, self._imported, self._report = lines, find, imported, report

    def put(self, labels: Iterable[Label], act: Act) -> None:
        """Set what is not set. A tag stays where it is; an alias that people moved to a version of theirs too."""
        for label in labels:
            found = self._find(label.reference)
            if found is None:
                self._leave(label, "no version was made of what it names")
                continue
            name = ref_name(label.name, label.kind)
            self._put(label, name, found, act)

    def _put(self, label: Label, name: str, found: Found, act: Act) -> None:
        there = self._there(label, name)
        if there is not None and there.row.first == found.row.first:
            return
        if there is not None and (label.kind == "tag" or there.row.first not in self._imported):
            self._leave(label, f"{label.kind} {name} means {there.row.name} here already")
            return
        why = Act(act.actor, act.at, label.message or act.why)
        for called in (name, f"{name}-{label.kind}"):
            try:
                self._set(label, called, found, why)
            except AlreadyExists:
                continue
            self._report.rename(label.kind, label.name, called, TAKEN if called != name else ALLOWED)
            self._report.labels.append(Named(label.kind, called, found.row.name))
            return
        self._leave(label, f"{name} means something else here")

    def _set(self, label: Label, name: str, found: Found, act: Act) -> None:
        attempt(self._lines.history, lambda: changes.put(self._lines, label.kind, name, found, act))

    def _there(self, label: Label, name: str) -> Found | None:
        for called in (name, f"{name}-{label.kind}"):
            key = f"{label.kind}/{called}"
            ref = self._lines.history.get([key]).get(key)
            if ref is not None:
                return self._lines.version(bytes.fromhex(states.decode(states.LabelState, ref).version))
        return None

    def _leave(self, label: Label, why: str) -> None:
        self._report.left.append(Left(f"{label.kind} {label.name}", why))
