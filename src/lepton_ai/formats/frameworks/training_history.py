"""Training history: what a framework, a dict or a file says, as metric → values."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lepton_ai.errors import NotFound, StorageFailed, Unsupported, UsageError

FILES = "a history file is .json, .jsonl or .csv"


def history_of(source: object) -> dict[str, list[float]]:
    """Read a training history as {metric: [value, …]}, in the order of training.

    ``source`` is a dict (nested ones are joined by "/": XGBoost's and LightGBM's evaluation results), a Keras
    ``History`` or a model that remembers one (Keras ``model.history``, scikit-learn ``loss_curve_``, XGBoost
    ``evals_result()``, LightGBM ``evals_result_``), a list of records with one dict per step, or the path of
    a .json, .jsonl or .csv file (Keras's ``CSVLogger``, a Hugging Face ``trainer_state.json``). Steps at
    which a metric was not taken are left out of it; texts in records are not metrics.

    Raises:
        NotFound: the file is not there.
        Unsupported: it is nothing of these; pickles are never read.
        UsageError: a metric's values are not numbers.
    """
    if isinstance(source, str | Path):
        return history_of(_read(Path(source)))
    if isinstance(source, Mapping):
        if isinstance(source.get("log_history"), list):
            return _from_records(source["log_history"])
        return _from_mapping(source)
    if isinstance(source, list | tuple) and all(isinstance(record, Mapping) for record in source):
        return _from_records(source)
    remembered = _remembered(source)
    if remembered is None:
        raise Unsupported(
            f"a {type(source).__name__} is no training history", hint="give a dict of lists, or a file"
        )
    return history_of(remembered)


def _remembered(model: object) -> object:
    """What a model or a callback keeps of its training, None when it keeps nothing."""
    for attribute in ("history", "evals_result_"):
        kept = getattr(model, attribute, None)
        if isinstance(kept, Mapping) or (
            kept is not None and isinstance(getattr(kept, "history", None), Mapping)
        ):
            return kept
    if callable(getattr(model, "evals_result", None)):
        return model.evals_result()  # type: ignore[attr-defined]
    curve = getattr(model, "loss_curve_", None)
    return None if curve is None else {"loss": curve}


def _from_mapping(source: Mapping[Any, Any], above: str = "") -> dict[str, list[float]]:
    result: dict[str, list[float]] = {}
    for key, values in source.items():
        name = f"{above}{key}"
        if isinstance(values, Mapping):
            result.update(_from_mapping(values, f"{name}/"))
        elif isinstance(values, str | bytes) or not isinstance(values, Iterable):
            result[name] = [_number(name, values)]
        else:
            result[name] = [_number(name, value) for value in values]
    return result


def _from_records(records: Iterable[Mapping[Any, Any]]) -> dict[str, list[float]]:
    result: dict[str, list[float]] = {}
    for record in records:
        for key, value in record.items():
            if value is not None and not isinstance(value, str | Mapping | list):
                result.setdefault(str(key), []).append(_number(str(key), value))
    return result


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise UsageError(f"history: {name!r} has a value that is no number: {str(value)[:80]!r}") from error


def _read(path: Path) -> object:
    if not os.path.isfile(path):  # noqa: PTH113  (Path.is_file raises for a name that is too long)
        raise NotFound(f"there is no history file {str(path)!r}")
    kind = path.suffix.lower()
    if kind not in {".json", ".jsonl", ".csv"}:
        raise Unsupported(f"{path.name!r} is not read as a training history", hint=FILES)
    try:
        text = path.read_text(encoding="utf-8-sig")
        if kind == ".csv":
            return _from_rows(text)
        if kind == ".jsonl":
            return [json.loads(line) for line in text.splitlines() if line.strip()]
        return json.loads(text)
    except OSError as error:
        raise StorageFailed(
            f"{path} cannot be read: {error.strerror}", hint="check its permissions"
        ) from error
    except (ValueError, csv.Error, RecursionError) as error:
        raise Unsupported(f"{path.name!r} is not a readable {kind} file: {error}", hint=FILES) from error


def _from_rows(text: str) -> list[dict[str, float]]:
    """The rows of a table; cells that hold no number ("", "NA") count as not taken."""
    rows: list[dict[str, float]] = []
    for row in csv.DictReader(text.splitlines(), restval=""):
        cells: dict[str, float] = {}
        for key, cell in row.items():
            try:
                cells[key] = float(cell)
            except (TypeError, ValueError):
                continue
        rows.append(cells)
    return rows
