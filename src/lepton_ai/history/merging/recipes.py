"""A configuration in mergekit's dialect as a merge of versions: every tensor gets a rule of its own."""

from __future__ import annotations

import glob
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.history.given import content
from lepton_ai.history.merges.dialect.reading import recipe_of
from lepton_ai.history.merges.dialect.recipe import Recipe, Told
from lepton_ai.history.merges.dialect.text import plain
from lepton_ai.history.merging.asked import Asked, Rule


def read(file: Path) -> Recipe:
    """The recipe in a file.

    Raises:
        UsageError: it asks what cannot be had, or is no configuration. NotFound: there is no such file or method.
    """
    try:
        text = content(file).decode()
    except UnicodeDecodeError:
        raise UsageError(f"{file} is not UTF-8 text", hint="save it anew as UTF-8") from None
    recipe = recipe_of(plain(text, str(file)))
    if recipe.stored:
        raise UsageError(
            f"{file}: dtype: {recipe.stored}: the merged file keeps the types of its first model",
            hint="take dtype: and out_dtype: out",
        )
    return recipe


def asked_of(recipe: Recipe, names: Iterable[str]) -> Asked:
    """What a recipe asks of a merge, for tensors of these ``names``.

    The method goes wherever the models differ, as there, and not only where several changed something.

    Raises:
        UsageError: its slices are not the models' layers, or are made of other models in another order.
    """
    listed = list(names)
    chosen = recipe.for_tensors(listed)
    told = {name: chosen.told(name) for name in listed}
    for name, one in told.items():
        _check(name, one, len(recipe.models))
    keys = {name: msgspec.json.encode(one.parameters, order="sorted") for name, one in told.items()}
    usual = Counter(keys.values()).most_common(1)[0][0] if keys else b"{}"
    rules = [Rule("*", recipe.method, msgspec.json.decode(usual))]
    rules += [
        Rule(glob.escape(name), recipe.method, dict(told[name].parameters))
        for name in listed
        if keys[name] != usual
    ]
    return Asked(method=recipe.method, rules=rules, everywhere=True, exact=True, base=recipe.base or None)


def _check(name: str, told: Told, models: int) -> None:
    if told.models != tuple(range(models)):
        raise UsageError(
            f"{name} would be merged of some of the models, or in another order than the others",
            hint="merge versions with all models everywhere, and say weight: 0 where one does not count",
        )
