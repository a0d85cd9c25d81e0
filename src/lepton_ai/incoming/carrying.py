"""What a source tells of a version, as a record keeps it; what cannot be kept is told, and stops nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from lepton_ai.errors import UsageError
from lepton_ai.history.carried import Prepared, prepare
from lepton_ai.history.record import plain_metrics, plain_params
from lepton_ai.incoming.contract import Arrival, Left

T = TypeVar("T")


def carried(arrival: Arrival) -> tuple[Prepared, list[Left]]:
    """Params, metrics, curves, dataset, author, message and code, and what of them cannot be kept."""
    left: list[Left] = []
    given: dict[str, Any] = {"author": arrival.author or "unknown", "message": arrival.message}
    given["params"] = _each(arrival, "param", arrival.params, plain_params, left)
    given["metrics"] = _each(arrival, "metric", arrival.metrics, plain_metrics, left)
    curves = _each(arrival, "curve", arrival.curves, _curve, left)
    if curves:
        given["history"] = curves
    prepared = _dataset(arrival, prepare(given), left)
    if arrival.code is not None:
        prepared = Prepared({**prepared.changes, "code": arrival.code}, prepared.training)
    return prepared, left


def _dataset(arrival: Arrival, prepared: Prepared, left: list[Left]) -> Prepared:
    if arrival.dataset is None:
        return prepared
    try:
        return prepared.then(prepare({"dataset": arrival.dataset}))
    except UsageError as problem:
        left.append(Left("the dataset", problem.message, arrival.told))
        return prepared


def _each(
    arrival: Arrival,
    what: str,
    values: Mapping[str, Any],
    keep: Callable[[Mapping[str, Any]], Mapping[str, Any]],
    left: list[Left],
) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in values.items():
        try:
            kept.update(keep({name: value}))
        except UsageError as problem:
            left.append(Left(f"{what} {name}", problem.message, arrival.told))
    return kept


def _curve(named: Mapping[str, Any]) -> Mapping[str, Any]:
    for values in named.values():
        plain_metrics({str(number): value for number, value in enumerate(values)})
    return named
