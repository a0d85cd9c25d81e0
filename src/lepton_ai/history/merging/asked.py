"""What is asked of a merge: the method for what both sides changed, other ones for some tensors, and the rest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, TypedDict

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history import given
from lepton_ai.history.merges.parameters import settled
from lepton_ai.history.merges.registry import method as method_called
from lepton_ai.history.merging import mapping
from lepton_ai.history.merging.mapping import Line
from lepton_ai.history.record import plain_params, text
from lepton_ai.types import Attachment

STOP = "stop"
TAKE = {"ours": "take_ours", "theirs": "take_theirs", "base": "take_base"}
"""Short names."""


class Rule(msgspec.Struct, frozen=True, omit_defaults=True):
    """Tensors whose name fits ``pattern`` (``*`` and ``?``, as in a shell) are merged by ``method``."""

    pattern: str
    method: str
    parameters: dict[str, Any] = {}


class Choice(msgspec.Struct, frozen=True, omit_defaults=True):
    """What somebody decided for one conflict: a method (files: one that takes a side), or content that was given. That
    words mean other numbers is accepted, whatever the method.

    ``given`` is a file's content, or of a tensor an .npy file.
    """

    kind: Literal["tensor", "file", "meaning"]
    name: str
    method: str = ""
    parameters: dict[str, Any] = {}
    given: Attachment | None = None


class Request(msgspec.Struct, frozen=True, omit_defaults=True):
    """How to merge. Everything that decides on the result besides the versions themselves.

    ``method`` ("": none) merges the tensors that both sides changed differently; of the ``rules`` that fit a tensor the
    last one goes before it. ``on_conflict`` says what becomes of the rest: "stop", or a method. ``parameters`` go to
    every method that knows them. ``everywhere``: the method merges every tensor in which the models differ, also those
    that one side alone changed, or all did equally. ``exact``: just the versions that are named are merged, in that
    order, and what the branch stands on only if it is one of them. ``base`` is the id of the version to take as the
    common ancestor. ``aids`` are ids of versions, one for each model, that hold further tensors by the names of the
    models' own: "fisher", "gram". ``choices`` are for single conflicts, and go before everything else. ``names`` say
    what renamed tensors are called.
    """

    method: str = ""
    on_conflict: str = STOP
    rules: tuple[Rule, ...] = ()
    parameters: dict[str, Any] = {}
    seed: int = 0
    everywhere: bool = False
    exact: bool = False
    base: str = ""
    aids: dict[str, tuple[str, ...]] = {}
    choices: tuple[Choice, ...] = ()
    names: tuple[Line, ...] = ()

    def choice(self, kind: str, name: str) -> Choice | None:
        """What was decided for a conflict."""
        return next((one for one in self.choices if (one.kind, one.name) == (kind, name)), None)


class Asked(TypedDict, total=False):
    """What may be asked of a merge; see :class:`Request`.

    ``rules``: "GLOB=METHOD" or "GLOB=METHOD:name=value,name=value", pairs, or a mapping glob → method. ``weights``: one
    number for each model, ours first (the parameter ``weight``). ``base``: the address of a version, ``aids``: of
    one for each model by what they hold ("fisher", "gram"). ``names``: old → new names of tensors, or a file with them;
    see :mod:`lepton_ai.history.merging.mapping`. ``with_code``: git merges the code, too, in the checkout that is the
    current folder. ``evaluate``: a command that judges the ``candidates`` (sides and methods) for what is in conflict,
    by a ``metric`` whose ``best`` is "highest" or "lowest"; see :mod:`lepton_ai.history.merging.evaluation`.
    """

    method: str | None
    on_conflict: str | None
    rules: Mapping[str, str] | Iterable[str | Rule | Sequence[Any]] | None
    parameters: Mapping[str, Any] | None
    weights: Sequence[float] | None
    seed: int | None
    everywhere: bool
    exact: bool
    base: str | None
    aids: Mapping[str, Sequence[str]] | None
    names: Mapping[str, str] | str | Path | None
    with_code: bool
    evaluate: str | None
    candidates: Sequence[str] | None
    metric: str | None
    best: str | None


class Pick(msgspec.Struct, frozen=True):
    """A method with what it was told, as a tensor gets it."""

    method: str
    parameters: Mapping[str, Any]


def request(asked: Mapping[str, Any]) -> Request:
    """What was asked, checked as far as that can be done without the versions.

    Raises:
        UsageError: a method, a rule or a parameter is unknown or cannot be.
    """
    unknown = set(asked) - set(Asked.__annotations__)
    if unknown:
        raise UsageError(
            f"a merge knows no {min(unknown)!r}", hint="it knows " + ", ".join(Asked.__annotations__)
        )
    said = {key: value for key, value in asked.items() if value is not None}
    parameters = given.named(said.get("parameters", {}), "parameters")
    if "weights" in said:
        parameters["weight"] = given.several(said["weights"], "weights")
    found = Request(
        method=_method(said.get("method", "")),
        on_conflict=_on_conflict(said.get("on_conflict", STOP)),
        rules=tuple(_rules(said.get("rules", ()))),
        parameters=plain_params(parameters),
        seed=_seed(said.get("seed", 0)),
        everywhere=given.switch(said.get("everywhere", False), "everywhere"),
        exact=given.switch(said.get("exact", False), "exact"),
        base=text(said.get("base", ""), "the base"),
        aids={
            kind: tuple(text(one, "a version") for one in given.several(some, f"the versions of {kind}"))
            for kind, some in given.named(said.get("aids", {}), "aids").items()
        },
        names=_names(said.get("names")),
    )
    if found.everywhere and not (found.method or found.rules):
        raise UsageError("no method is named to merge everything with", hint="name one, such as linear")
    _check_known(found)
    return found


def picks(asked: Request, name: str, models: int) -> list[Pick]:
    """The methods for a tensor that all sides changed differently: the first that can do it counts. May be empty.

    Raises:
        UsageError: a parameter is out of its range, or a method does not take so many models.
    """
    fitting = [rule for rule in asked.rules if fnmatchcase(name, rule.pattern)]
    found: list[Pick] = []
    chosen = asked.choice("tensor", name)
    if chosen is not None and chosen.method:
        found.append(_pick(asked, chosen.method, chosen.parameters, models))
    if fitting:
        found.append(_pick(asked, fitting[-1].method, fitting[-1].parameters, models))
    elif asked.method:
        found.append(_pick(asked, asked.method, {}, models))
    if asked.on_conflict != STOP:
        found.append(_pick(asked, asked.on_conflict, {}, models))
    return found


def check_models(asked: Request, models: int) -> None:
    """Raise UsageError when a method that is named cannot take so many models, or what it is told."""
    picks(msgspec.structs.replace(asked, rules=()), "", models)
    for rule in asked.rules:
        _pick(asked, rule.method, rule.parameters, models)


def rule_of(written: str) -> Rule:
    """A rule from ``GLOB=METHOD`` or ``GLOB=METHOD:name=value,name=value``; ``0.7/0.3`` is a list.

    Raises:
        UsageError: it is none.
    """
    pattern, equals, rest = written.rpartition("=") if ":" not in written else _parted(written)
    if not equals or not pattern or not rest:
        raise UsageError(f"{written!r} is no rule", hint="write GLOB=METHOD, such as 'lm_head.*=linear'")
    name, _, told = rest.partition(":")
    return Rule(pattern, _method(name), _told(told, written) if told else {})


def _parted(written: str) -> tuple[str, str, str]:
    """Pattern and method stand before the last colon that is followed by parameters; a pattern may have one too."""
    head, _, told = written.rpartition(":")
    if "=" not in told or "=" not in head:
        return written.rpartition("=")
    pattern, equals, name = head.rpartition("=")
    return pattern, equals, f"{name}:{told}"


def _told(told: str, written: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for one in told.split(","):
        key, equals, value = one.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"rule {written!r}: {one!r} is no name=value", hint="write METHOD:density=0.5")
        values = [_value(part.strip()) for part in value.split("/")]
        found[key.strip()] = values[0] if len(values) == 1 else values
    return found


def _value(written: str) -> Any:
    try:
        return msgspec.json.decode(written)
    except msgspec.DecodeError:
        return written


def _rules(said: Any) -> Iterable[Rule]:
    if isinstance(said, str):
        said = [said]
    for one in said.items() if isinstance(said, Mapping) else given.several(said, "rules"):
        if isinstance(one, Rule):
            yield Rule(one.pattern, _method(one.method), plain_params(one.parameters))
        elif isinstance(one, str):
            yield rule_of(one)
        elif isinstance(one, Sequence) and len(one) in (2, 3):
            told = plain_params(one[2]) if len(one) == 3 else {}
            yield Rule(text(one[0], "a rule's pattern"), _method(one[1]), told)
        else:
            raise UsageError(f"{one!r} is no rule", hint="write 'GLOB=METHOD'")


def _method(name: object) -> str:
    plain = text(name, "the method")
    plain = TAKE.get(plain, plain)
    return method_called(plain).name if plain else ""


def _names(said: object) -> tuple[Line, ...]:
    if said is None:
        return ()
    if isinstance(said, Mapping):
        return mapping.parse(msgspec.json.encode(dict(said)), "names")
    place = given.path(said, "the file of names")
    return mapping.parse(given.content(place), str(place))


def _on_conflict(name: object) -> str:
    plain = text(name, "on_conflict")
    return STOP if plain in (STOP, "") else _method(plain)


def _seed(said: object) -> int:
    if isinstance(said, bool) or not isinstance(said, int) or not 0 <= said < 1 << 63:
        raise UsageError(f"the seed is a whole number from 0, not {said!r}")
    return said


def _check_known(asked: Request) -> None:
    """Raise UsageError for a parameter that none of the methods has."""
    used = {asked.method, *(rule.method for rule in asked.rules)}
    used |= {asked.on_conflict} if asked.on_conflict != STOP else set()
    methods = [method_called(name) for name in sorted(used - {""})]
    known = {parameter.name for method in methods for parameter in method.parameters}
    for name in asked.parameters:
        if name not in known:
            what = f"{methods[0].name} has" if len(methods) == 1 else "no method that is named has"
            no = "no parameter" if len(methods) == 1 else "a parameter"
            hint = f"known are {', '.join(sorted(known))}" if known else "name a method that has it"
            raise UsageError(f"{what} {no} {name!r}", hint=hint)


def _pick(asked: Request, name: str, own: Mapping[str, Any], models: int) -> Pick:
    method = method_called(name)
    known = {parameter.name for parameter in method.parameters}
    told = {key: value for key, value in asked.parameters.items() if key in known} | dict(own)
    return Pick(name, settled(method, told, models))
