"""What people should be told of a merge before it is made, though nothing in it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase

from lepton_ai.history.merging import compatibility
from lepton_ai.history.merging.asked import Rule
from lepton_ai.history.merging.compatibility import Finding
from lepton_ai.history.merging.sides import Side


def idle_rules(rules: Iterable[Rule], names: Sequence[str]) -> Iterator[str]:
    """A line for each rule that fits none of the tensors' names: it may be mistyped."""
    for rule in rules:
        if not any(fnmatchcase(name, rule.pattern) for name in names):
            yield f"the rule {rule.pattern}={rule.method} fits no tensor"


def meanings(models: Sequence[Side]) -> Iterator[Finding]:
    """Vocabularies and labels in which a side differs from ours."""
    ours = _told(models[0])
    for side in models[1:]:
        yield from compatibility.meanings(ours, _told(side), (models[0].record.params, side.record.params))


def _told(side: Side) -> dict[str, bytes]:
    paths = [path for path, one in side.files.items() if one.target is None and compatibility.tells(path)]
    return {path: side.source(path).read(0, side.source(path).size) for path in paths}
