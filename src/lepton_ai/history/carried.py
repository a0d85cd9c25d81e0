"""What a person gives along with a version, turned into what the record keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

import msgspec
from msgspec.structs import replace

from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError
from lepton_ai.history import provenance
from lepton_ai.history.record import plain_metrics, plain_params, text
from lepton_ai.history.writing import Saving
from lepton_ai.later import Later
from lepton_ai.types import Code, Dataset, Environment, Record

if TYPE_CHECKING:
    from lepton_ai.formats.frameworks import training_history
else:
    training_history = Later("lepton_ai.formats.frameworks.training_history")

DATASET = ("name", "source", "digest", "rows", "preprocessing")


class Carried(TypedDict, total=False):
    """What may be given with a version; what is not given stays empty (an update keeps the old).

    ``metrics``: name → number. ``params``: name → JSON value; NaN and infinities come back as words. ``history``:
    training curves, a Keras ``History``, a dict name → numbers, or a JSON or CSV file. ``dataset``: a name, or a dict
    with name, source, digest, rows, preprocessing (steps in order); other keys are kept too. ``author``, ``message``:
    text.
    """

    metrics: Mapping[str, Any] | None
    params: Mapping[str, Any] | None
    history: object
    dataset: Mapping[str, Any] | str | Dataset | None
    author: str | None
    message: str | None


class Prepared(msgspec.Struct, frozen=True):
    """What was given, as the record keeps it; ``training`` is stored beside it."""

    changes: Mapping[str, Any] = msgspec.field(default_factory=dict)
    training: bytes | None = None

    @property
    def message(self) -> str:
        """Why, in the author's words; "" when nothing was said."""
        return str(self.changes.get("message", ""))

    def then(self, later: Prepared) -> Prepared:
        """Both, where ``later`` has the last word."""
        training = self.training if later.training is None else later.training
        return Prepared({**self.changes, **later.changes}, training)


def prepare(carried: Mapping[str, Any]) -> Prepared:
    """Everything that was given (see :class:`Carried`), checked; history files are read. Comes before anything else.

    Raises:
        UsageError: something given cannot be kept; the message names it.
    """
    unknown = set(carried) - set(Carried.__annotations__)
    if unknown:
        raise UsageError(
            f"a version carries no {min(unknown)!r}",
            hint="it carries " + ", ".join(Carried.__annotations__),
        )
    changes: dict[str, Any] = {}
    training: bytes | None = None
    if carried.get("metrics") is not None:
        changes["metrics"] = plain_metrics(carried["metrics"])
    if carried.get("params") is not None:
        changes["params"] = plain_params(carried["params"])
    if carried.get("history") is not None:
        training = msgspec.json.encode(
            _words(training_history.history_of(carried["history"])), order="sorted"
        )
    if carried.get("dataset") is not None:
        changes["dataset"] = dataset_of(carried["dataset"])
    for key in ("author", "message"):
        value = carried.get(key)
        if value is not None:
            changes[key] = text(value, f"the {key}")
    return Prepared(changes, training)


def fill(record: Record, prepared: Prepared, saving: Saving) -> Record:
    """The record with everything that was given; larger things are stored by ``saving``."""
    stored = {} if prepared.training is None else {"training": saving.attach(prepared.training)}
    return replace(record, **prepared.changes, **stored)


def dataset_of(given: object) -> Dataset:
    """Dataset information from a name, a mapping or a Dataset.

    Raises:
        UsageError: it is something else, or a field has another type.
    """
    if isinstance(given, str):
        return Dataset(name=text(given, "dataset"))
    if isinstance(given, Dataset):
        given = {**given.extra, **{key: getattr(given, key) for key in DATASET}}
    if not isinstance(given, Mapping):
        raise UsageError(
            f"dataset is a {type(given).__name__}", hint="give a name, or a dict with name, source, rows …"
        )
    values = plain_params(given)
    fields = {key: values.pop(key) for key in DATASET if key in values}
    steps = fields.get("preprocessing")
    if isinstance(steps, str):
        fields["preprocessing"] = [steps]
    elif isinstance(steps, Sequence):
        fields["preprocessing"] = [
            s if isinstance(s, str) else msgspec.json.encode(s).decode() for s in steps
        ]
    try:
        return msgspec.convert(fields | {"extra": values}, ready(Dataset))
    except msgspec.ValidationError as problem:
        raise UsageError(
            f"dataset: {problem}", hint="rows is a number, name, source and digest are texts"
        ) from problem


def code_and_environment(
    found: provenance.Checkout | None, saving: Saving
) -> tuple[Code | None, Environment]:
    """The git checkout that was found and the Python environment, recorded without being asked."""
    environment = Environment(
        provenance.python_version(), provenance.platform_name(), saving.attach(provenance.packages())
    )
    if found is None:
        return None, environment
    patch = saving.attach(found.patch) if found.patch else None
    return Code(found.commit, found.remote, found.branch, found.dirty, patch), environment


def _words(curves: Mapping[str, Sequence[float]]) -> dict[str, list[float | str]]:
    """JSON has no NaN: the words "NaN", "Infinity", "-Infinity" stand for it."""
    return {
        text(name, "a name in the history"): list(
            plain_metrics({str(i): v for i, v in enumerate(values)}).values()
        )
        for name, values in curves.items()
    }
