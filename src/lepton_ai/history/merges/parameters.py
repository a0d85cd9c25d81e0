"""What a method was told, held against what it can be told, before anything is read."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from lepton_ai.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.history.merges.contract import Case, Method, Parameter


def settled(method: Method, given: Mapping[str, Any], models: int) -> dict[str, Any]:
    """Every parameter of ``method`` with its value: a tuple with one for each of ``models`` where it is ``each``.

    Raises:
        UsageError: a parameter is unknown or out of its range, or the method does not take so many models.
    """
    least, most = method.models
    if models < least or (most is not None and models > most):
        bound = "exactly" if least == most else "at least" if models < least else "at most"
        wanted = least if models < least else most
        raise UsageError(f"{method.name} merges {bound} {wanted} models; here are {models}")
    known = {parameter.name: parameter for parameter in method.parameters}
    for name in given:
        if name not in known:
            hint = f"it takes {', '.join(known)}" if known else "it takes none"
            raise UsageError(f"{method.name} has no parameter {name!r}", hint=hint)
    return {
        name: _value(method.name, parameter, given.get(name), models) for name, parameter in known.items()
    }


def obstacle(method: Method, case: Case) -> str:
    """Why ``method`` cannot merge this case, "" when it can. Reads no element.

    This asks the method itself, after what holds for all: equal shapes, and a base where it needs one.
    """
    if any(model.shape != case.shape for model in (*case.models, *((case.base,) if case.base else ()))):
        shapes = " and ".join(
            sorted({str(list(model.shape)) for model in (*case.models, case.base) if model})
        )
        return f"its shapes differ: {shapes}"
    if method.needs_base and case.base is None:
        return f"{method.name} works on differences to a base, and there is none"
    return method.objection(case)


def _value(method: str, parameter: Parameter, given: object, models: int) -> object:
    if not parameter.each:
        return parameter.default if given is None else _one(method, parameter, given)
    if not isinstance(given, list | tuple):
        given = [given] * models
    if len(given) != models:
        what = f"{method}: {parameter.name} has {len(given)} values for {models} models"
        raise UsageError(what, hint="give one for each model, ours first, or one that counts for all")
    return tuple(parameter.default if value is None else _one(method, parameter, value) for value in given)


def _one(method: str, parameter: Parameter, value: object) -> float | bool:
    if parameter.switch:
        if isinstance(value, bool):
            return value
        raise UsageError(f"{method}: {parameter.name} is true or false, not {value!r}")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise UsageError(f"{method}: {parameter.name} is a number, not {value!r}")
    if not parameter.least <= value <= parameter.most:
        raise UsageError(f"{method}: {parameter.name} is {_range(parameter)}, not {value}")
    return value


def _range(parameter: Parameter) -> str:
    if parameter.most == math.inf:
        return f"at least {parameter.least:g}"
    return f"between {parameter.least:g} and {parameter.most:g}"
