"""A configuration in mergekit's dialect to a recipe, or a plain refusal of what it asks and cannot be had here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.merges.dialect import settings
from lepton_ai.history.merges.dialect.recipe import Entry, Recipe, Slice
from lepton_ai.history.merges.registry import method as method_called
from lepton_ai.history.merges.registry import names as method_names

REFUSED = {
    "modules": "merge each module by itself: one file with models: for each",
    "tokenizer_source": "the merged version keeps the tokenizer files of ours; merge models of one vocabulary",
    "tokenizer": "the merged version keeps the tokenizer files of ours; merge models of one vocabulary",
    "chat_template": "save the template that you want as a file of the version",
}
"""What would build other files than the merged weights, with what to do instead."""

KEYS = {"merge_method", "models", "slices", "base_model", "parameters", "dtype", "out_dtype"}
STORED = {"float32", "float16", "bfloat16", "float64"}


def recipe_of(config: Mapping[str, Any]) -> Recipe:
    """The recipe of a configuration: the plain values of its YAML.

    Raises:
        UsageError: it asks what cannot be had, or is not what the dialect allows.
        NotFound: its merge_method is not installed.
    """
    _check_keys(config)
    method = method_called(_text(config.get("merge_method"), "merge_method"))
    base = "" if config.get("base_model") is None else _model(config["base_model"], "base_model")
    found = [_slice_of_models(config)] if "models" in config else _slices(config["slices"])
    named = list(dict.fromkeys(name for _, pairs in found for name, _ in pairs))
    if method.name == "slerp" and base:  # there it is where the arc begins
        named = [base, *(name for name in named if name != base)]
        found = [(piece, _begin_with(pairs, base)) for piece, pairs in found]
        base = ""
    elif method.name in ("linear", "passthrough") and base:
        if base not in named:
            raise UsageError(
                f"base_model {base} is not one of the models, and {method.name} has no use for another",
                hint="list it under models: with a weight, or leave base_model: out",
            )
        base = ""
    models = [name for name in named if name != base]
    if not models:
        raise UsageError("the only model is the base", hint="name what is merged into it under models:")
    slices = [
        msgspec.structs.replace(
            piece,
            entries=tuple(Entry(None if name == base else models.index(name), told) for name, told in pairs),
        )
        for piece, pairs in found
    ]
    shared = _parameters(config.get("parameters"), "parameters")
    ignored = _ignored(method.name, [shared, *(told for one in slices for told in _all_told(one))])
    return Recipe(method.name, tuple(models), tuple(slices), base, _stored(config), shared, ignored)


def _check_keys(config: Mapping[str, Any]) -> None:
    for key in config:
        if key in REFUSED and config[key] is not None:
            raise UsageError(
                f"{key}: cannot be had in a merge of versions", hint=f"take it out: {REFUSED[key]}"
            )
        if key not in KEYS | set(REFUSED):
            raise UsageError(
                f"{key}: is no key of a merge configuration", hint=f"known are {', '.join(sorted(KEYS))}"
            )
    if "merge_method" not in config:
        raise UsageError("the configuration names no merge_method:")
    if ("models" in config) == ("slices" in config):
        raise UsageError("a configuration has either models: or slices:")


Named = list[tuple[str, dict[str, Any]]]
"""Models by the names that the configuration gives them, with what each is told."""


def _slice_of_models(config: Mapping[str, Any]) -> tuple[Slice, Named]:
    listed = _list(config["models"], "models")
    return Slice(()), [_named(one, f"models[{n}]", {"model", "parameters"}) for n, one in enumerate(listed)]


def _slices(given: object) -> list[tuple[Slice, Named]]:
    found: list[tuple[Slice, Named]] = []
    first = 0
    for n, one in enumerate(_list(given, "slices")):
        where = f"slices[{n}]"
        _known(one, {"sources", "parameters"}, where)
        sources = _list(one.get("sources"), f"{where}.sources")
        keys = {"model", "parameters", "layer_range"}
        pairs = [_named(source, f"{where}.sources[{m}]", keys) for m, source in enumerate(sources)]
        last = first
        for m, source in enumerate(sources):
            last = _in_place(source.get("layer_range"), first, f"{where}.sources[{m}]")
        if any(source["layer_range"][1] != last for source in sources):
            raise UsageError(f"{where}: its sources are of different lengths")
        found.append((Slice((), first, last, _parameters(one.get("parameters"), where)), pairs))
        first = last
    return found


def _in_place(given: object, first: int, where: str) -> int:
    """Where a source ends that begins at layer ``first``."""
    if (
        not isinstance(given, list)
        or len(given) != 2
        or not all(isinstance(one, int) and not isinstance(one, bool) for one in given)
        or not 0 <= given[0] < given[1]
    ):
        raise UsageError(f"{where}: layer_range is [first, last], not {given!r}")
    if given[0] != first:
        raise UsageError(
            f"{where} puts layer {given[0]} where layer {first} is",
            hint="a merged version has the layers of ours: every source gives those of its own place",
        )
    return int(given[1])


def _begin_with(pairs: Named, base: str) -> Named:
    """The base first, as if it had been listed."""
    told = dict(pairs).get(base, {})
    return [(base, told), *(pair for pair in pairs if pair[0] != base)]


def _named(one: object, where: str, keys: set[str]) -> tuple[str, dict[str, Any]]:
    known = _known(one, keys, where)
    return _model(known.get("model"), where), _parameters(known.get("parameters"), where)


def _known(one: object, keys: set[str], where: str) -> dict[str, Any]:
    if not isinstance(one, dict):
        raise UsageError(f"{where} is not a mapping with {', '.join(sorted(keys))}")
    for key in one:
        if key not in keys:
            raise UsageError(
                f"{where}: {key}: is not known here", hint=f"known are {', '.join(sorted(keys))}"
            )
    return one


def _model(given: object, where: str) -> str:
    if isinstance(given, dict) and set(given) <= {"path", "revision"} and given.get("path"):
        revision = f"@{given['revision']}" if given.get("revision") else ""
        given = f"{given['path']}{revision}"
    name = _text(given, f"{where}: model")
    if "+" in name:
        raise UsageError(
            f"{where}: {name} is a model with a LoRA", hint="merge the LoRA into its model and save that"
        )
    return name


def _parameters(given: object, where: str) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise UsageError(f"{where} holds no parameters but {given!r}")
    told = {key: value for key, value in given.items() if value is not None}
    for key, value in told.items():
        settings.check(value, f"{where}: {key}")
    return told


def _all_told(piece: Slice) -> list[dict[str, Any]]:
    return [piece.parameters, *(entry.parameters for entry in piece.entries)]


def _ignored(method: str, scopes: list[dict[str, Any]]) -> tuple[str, ...]:
    """Parameters that other methods know: like mergekit, pass over them. What nobody knows is a slip of the pen."""
    mine = {one.name for one in method_called(method).parameters}
    all_of_them = {one.name for name in method_names() for one in method_called(name).parameters}
    used = list(dict.fromkeys(name for scope in scopes for name in scope))
    for name in used:
        if name not in all_of_them:
            raise UsageError(
                f"{method} has no parameter {name!r}", hint=f"it takes {', '.join(sorted(mine))}"
            )
    return tuple(name for name in used if name not in mine)


def _stored(config: Mapping[str, Any]) -> str:
    """The type of the result. What it is computed in is not asked: float32 always, or float64."""
    name = config.get("out_dtype") or config.get("dtype")
    if name is None:
        return ""
    plain = _text(name, "dtype").removeprefix("torch.")
    if plain not in STORED:
        raise UsageError(f"dtype: {plain} is not one of {', '.join(sorted(STORED))}")
    return plain


def _list(given: object, where: str) -> list[Any]:
    if not isinstance(given, list) or not given:
        raise UsageError(f"{where}: has to be a list with something in it")
    return given


def _text(given: object, where: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{where} has to be a name, not {given!r}")
    return given.strip()
