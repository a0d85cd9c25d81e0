"""What changed of the architecture: nodes or layers that came, went, or have other attributes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from difflib import SequenceMatcher

import msgspec

from lepton_ai.formats import architecture
from lepton_ai.formats.architecture.contract import Part
from lepton_ai.formats.contract import Malformed, Source
from lepton_ai.history.diff.contract import Part as Change
from lepton_ai.history.reading import Reader
from lepton_ai.history.structure import MOST, Everything, Structure
from lepton_ai.store.contract import Content

_MOST_MATCHED = 20_000
"""Parts without a namesake that are still looked at for those that are only called otherwise."""


def compare(before: list[Part], after: list[Part], file: str = "") -> list[Change]:
    """What lies between two lists of parts. Those that are only called otherwise are no change."""
    old, new = _by_name(before), _by_name(after)
    pairs = {name: name for name in new if name in old and old[name].kind == new[name].kind}
    gone = [name for name in old if name not in pairs]
    came = [name for name in new if name not in pairs]
    pairs |= dict(_called_otherwise([old[n] for n in gone], [new[n] for n in came]))
    again = {source: name for name, source in pairs.items()}
    found = []
    for name, part in new.items():
        if name not in pairs:
            found.append(Change(name, part.kind, "added", _all(part.attributes, 1), file))
        elif differs := _attributes(old[pairs[name]], part, again):
            found.append(Change(name, part.kind, "changed", differs, file))
    taken = set(pairs.values())
    found += [
        Change(name, old[name].kind, "removed", _all(old[name].attributes, 0), file)
        for name in old
        if name not in taken
    ]
    return found


def parts(reader: Reader, format_: str, content: Content) -> list[Part]:
    """The parts of a stored file. Blocks of tensors are read only where numbers with tags make a part of the walk.

    Raises:
        Malformed: it cannot be read.
    """
    if sum(stream.length for stream in content.streams if not stream.key) > MOST:
        raise Malformed("there is too much beside its tensors")
    read: Callable[[Source], list[Part]] = architecture.READERS[format_]
    try:
        return read(Structure(reader, content))
    except Malformed:
        return read(Everything(reader, content))


def _by_name(parts: list[Part]) -> dict[str, Part]:
    """Parts by a name that is theirs alone: nothing keeps a file from calling several the same."""
    found: dict[str, Part] = {}
    times: Counter[str] = Counter()
    for part in parts:
        name = part.name
        while name in found:
            times[part.name] += 1
            name = f"{part.name} #{times[part.name] + 1}"
        found[name] = part if name == part.name else msgspec.structs.replace(part, name=name)
    return found


def _called_otherwise(gone: list[Part], came: list[Part]) -> Iterator[tuple[str, str]]:
    """Names after and before of parts of one kind with the same attributes, in the same order as far as possible."""
    if len(gone) + len(came) > _MOST_MATCHED:
        return
    old, new = ([(p.kind, _without_names(p)) for p in parts] for parts in (gone, came))
    both = min(len(old), len(new))
    first = next((place for place in range(both) if old[place] != new[place]), both)
    last = next((place for place in range(both - first) if old[-1 - place] != new[-1 - place]), both - first)
    for place in range(first):
        yield came[place].name, gone[place].name
    for place in range(1, last + 1):
        yield came[-place].name, gone[-place].name
    # between them, what there is very much of only counts beside something else: else it takes minutes
    middle = SequenceMatcher(a=old[first : len(old) - last], b=new[first : len(new) - last])
    for block in middle.get_matching_blocks():
        for place in range(first, first + block.size):
            yield came[block.b + place].name, gone[block.a + place].name


def _without_names(part: Part) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((key, value) for key, value in part.attributes.items() if key != "inputs"))


def _attributes(before: Part, after: Part, again: dict[str, str]) -> dict[str, tuple[str | None, str | None]]:
    old, new = dict(before.attributes), after.attributes
    if "inputs" in old:  # a part that is only called otherwise is the same input
        old["inputs"] = ", ".join(again.get(name, name) for name in old["inputs"].split(", "))
    keys = [*new, *(key for key in old if key not in new)]
    return {key: (before.attributes.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)}


def _all(attributes: dict[str, str], side: int) -> dict[str, tuple[str | None, str | None]]:
    return {key: (None, value) if side else (value, None) for key, value in attributes.items() if value}
