"""The same tensors under other names on one side: found by what they hold."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import Literal, NamedTuple

import msgspec


class Trait(msgspec.Struct, frozen=True):
    """What a tensor is told by. ``content`` is equal for equal bytes (its blocks' ids, say); None when not known.

    Not ``telling`` is what many tensors hold that have nothing to do with each other: zeros, say.
    """

    dtype: str
    shape: tuple[int, ...]
    content: Hashable = None
    telling: bool = True


class Renames(msgspec.Struct, frozen=True):
    """Old name → new name. ``proved`` have the same content, ``followed`` are renamed in the way that those show.

    ``unclear`` are names that went and whose content several new names have: a mapping file has to say.
    """

    proved: dict[str, str]
    followed: dict[str, str]
    unclear: tuple[str, ...] = ()

    @property
    def all(self) -> dict[str, str]:
        """Both kinds."""
        return {**self.proved, **self.followed}


def detect(base: Mapping[str, Trait], side: Mapping[str, Trait]) -> Renames:
    """Which tensors of ``base`` have another name in ``side``.

    A tensor is renamed when its name is gone and exactly one new name has its content, and no other lost name has it.
    Equal ones (biases of zeros, tied weights) and those that were trained after the renaming are taken to follow
    the others: where these show that ``h.0.attn.`` became ``layers.0.attention.``, so does ``h.1.attn.bias`` become
    ``layers.1.attention.bias``, if that exists with the same type and shape.
    """
    gone = {name: trait for name, trait in base.items() if name not in side}
    new = {name: trait for name, trait in side.items() if name not in base}
    proved, shared = _by_content(gone, new)
    rules = _rules(proved)
    contents = {trait.content for trait in new.values()} - {None}
    found = {old: _followed(old, gone[old], rules, new, contents) for old in gone if old not in proved}
    taken = Counter([*proved.values(), *found.values()])
    followed = {old: name for old, name in found.items() if name is not None and taken[name] == 1}
    return Renames(proved, followed, tuple(old for old in shared if old not in followed))


def _by_content(gone: Mapping[str, Trait], new: Mapping[str, Trait]) -> tuple[dict[str, str], list[str]]:
    """Pairs of one old and one new name with the same content, and old names whose content fits several."""
    lost, come = _grouped(gone), _grouped(new)
    told = {trait: olds for trait, olds in lost.items() if trait.telling and trait in come}
    proved = {olds[0]: come[trait][0] for trait, olds in told.items() if len(olds) == len(come[trait]) == 1}
    shared = [old for olds in told.values() for old in olds if old not in proved]
    return proved, shared


def _grouped(traits: Mapping[str, Trait]) -> dict[Trait, list[str]]:
    groups: dict[Trait, list[str]] = {}
    for name, trait in traits.items():
        if trait.content is not None:
            groups.setdefault(trait, []).append(name)
    return groups


class _Rule(NamedTuple):
    """One part of a name became another; numbers in both are written ``#``. Every part ends with a dot."""

    where: Literal["beginning", "middle", "end"]
    before: str
    after: str

    def applied(self, name: str) -> str | None:
        """The name by this rule; None where it does not apply."""
        plain, numbers = _without_numbers(name)
        if self.where == "beginning" and plain.startswith(self.before):
            changed = self.after + plain[len(self.before) :]
        elif self.where == "end" and f".{plain}".endswith(f".{self.before}"):
            changed = plain[: len(plain) - len(self.before)] + self.after
        elif self.where == "middle" and f".{plain}".count(f".{self.before}") == 1:
            changed = f".{plain}".replace(f".{self.before}", f".{self.after}")[1:]
        else:
            return None
        parts = changed.rstrip(".").split(".")
        if parts.count("#") != len(numbers):
            return None
        left = iter(numbers)
        return ".".join(next(left) if part == "#" else part for part in parts)


def _without_numbers(name: str) -> tuple[str, list[str]]:
    parts = name.split(".")
    return "".join("#." if p.isdigit() else f"{p}." for p in parts), [p for p in parts if p.isdigit()]


def _rules(proved: Mapping[str, str]) -> list[_Rule]:
    """In which ways names changed, the most frequent first."""
    found: Counter[_Rule] = Counter()
    for old, new in proved.items():
        (before, numbers), (after, its) = _without_numbers(old), _without_numbers(new)
        if numbers == its:
            found.update(_between(before[:-1].split("."), after[:-1].split(".")))
    return sorted(found, key=lambda rule: (-found[rule], -len(rule.before), rule))


def _between(old: list[str], new: list[str]) -> Iterator[_Rule]:
    end = start = 0
    while end < min(len(old), len(new)) and old[-1 - end] == new[-1 - end]:
        end += 1
    while start < min(len(old), len(new)) - end and old[start] == new[start]:
        start += 1
    before, after = ("".join(f"{part}." for part in parts[start : len(parts) - end]) for parts in (old, new))
    if start == 0:
        yield _Rule("beginning", before, after)
    if end == 0:
        yield _Rule("end", before, after)
    if before:
        yield _Rule("middle", before, after)


def _followed(
    old: str, trait: Trait, rules: list[_Rule], new: Mapping[str, Trait], contents: set[Hashable]
) -> str | None:
    """The name by the first rule that leads to a new tensor of this type and shape, unless contents contradict."""
    for rule in rules:
        name = rule.applied(old)
        there = new.get(name) if name is not None else None
        if there is None or (there.dtype, there.shape) != (trait.dtype, trait.shape):
            continue
        return name if trait.content == there.content or trait.content not in contents else None
    return None
