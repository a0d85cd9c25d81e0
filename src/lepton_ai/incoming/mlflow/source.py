"""A registered model of MLflow: every version of it, with what its run logged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.history.provenance import without_secrets
from lepton_ai.incoming.contract import Arrival, File, Kind, Label, Left, Source
from lepton_ai.incoming.mlflow.artifacts import Artifacts
from lepton_ai.incoming.mlflow.contract import Logged, Registered, Registry
from lepton_ai.incoming.mlflow.database import DatabaseRegistry, is_database
from lepton_ai.incoming.mlflow.files import FileRegistry, is_file_store
from lepton_ai.types import Code, Dataset

SQLITE = "sqlite://"
DATABASE, RUNS = "mlflow.db", "mlruns"
STAGES = ("Production", "Staging")
OWN = "mlflow."
"""Begins tags that MLflow sets itself."""
MAIN = "main"


def is_store(place: Path) -> bool:
    """Whether a file or folder is a store of MLflow, or a folder with one of the usual name in it."""
    if place.is_file():
        return is_database(place)
    return is_file_store(place) or is_file_store(place / RUNS) or is_database(place / DATABASE)


def open_mlflow(place: str, model: str | None, more: Sequence[Path]) -> Source:
    """The registered ``model`` of the store at ``place`` (a folder, a database, ``sqlite:///FILE``).

    Raises:
        NotFound: there is no such store or model. UsageError: it has several models, and none is named.
    """
    registry, folder = _registry(place)
    try:
        return RegisteredModel(registry, _chosen(registry, model, place), place, Artifacts(folder, more))
    except BaseException:
        registry.close()
        raise


def _chosen(registry: Registry, model: str | None, place: str) -> str:
    models = registry.models()
    if model is not None and model not in models:
        raise NotFound(f"there is no registered model {model!r} in {place}", hint=_offer(models))
    several = [name for name in models if registry.versions(name)] if model is None else [model]
    if len(several) != 1:
        raise UsageError(
            f"{place} has {len(several)} registered models with versions",
            hint=f"--model says which: {_offer(several)}"
            if several
            else "register one: runs alone are not taken",
        )
    return several[0]


class RegisteredModel:
    """A :class:`~lepton_ai.incoming.contract.Source`: one line of versions, by their numbers."""

    kind: Kind = "mlflow"
    main = MAIN

    def __init__(self, registry: Registry, model: str, place: str, artifacts: Artifacts) -> None:
        self._registry, self._artifacts = registry, artifacts
        self.scope = model
        self.place = place
        self._versions = registry.versions(model)

    def arrivals(self) -> Iterator[Arrival]:
        """Versions that were not deleted, each upon the one before."""
        before: tuple[str, ...] = ()
        for version in self._versions:
            arrival = self._arrival(version, before)
            yield arrival
            before = (arrival.reference,)

    def branches(self) -> Mapping[str, str]:
        """One, with all versions."""
        return {MAIN: _reference(self._versions[-1])} if self._versions else {}

    def labels(self) -> Sequence[Label]:
        """Aliases, and each stage on its newest version."""
        numbers = {version.number: _reference(version) for version in self._versions}
        aliases = self._registry.aliases(self.scope)
        found = [Label("alias", a, numbers[n]) for a, n in aliases.items() if n in numbers]
        for stage in STAGES:
            newest = [version for version in self._versions if version.stage == stage][-1:]
            if stage.lower() not in aliases:
                found += [Label("alias", stage.lower(), _reference(v), f"stage {stage}") for v in newest]
        return found

    def left(self) -> Sequence[Left]:
        """What is said of the model, not of a version."""
        why = "it is said of the registered model as a whole, which has no place in a version"
        return [Left(said, why) for said in self._registry.about(self.scope)]

    def write(self, file: File, target: Path) -> None:
        """Nothing is to be had from a source alone."""
        raise AssertionError(f"{file.path} for {target} lies in a folder")

    def close(self) -> None:
        """Close the database."""
        self._registry.close()

    def _arrival(self, version: Registered, before: tuple[str, ...]) -> Arrival:
        run = self._registry.run(version.run)
        model = self._registry.logged_model(version.model)
        told = f"version {version.number} of {self.scope}" + (f", run {version.run}" if version.run else "")
        left = [Left("params and metrics", f"its run {version.run} is not in the store", told)]
        logged, own = run or Logged(), model or Logged()
        params = {key: _exact(value) for key, value in (logged.params | own.params).items()}
        tags = {k: v for k, v in (logged.tags | dict(version.tags)).items() if not k.startswith(OWN)}
        params |= {f"tag.{key}": value for key, value in tags.items()}
        params |= {} if version.stage in ("", "None") else {"mlflow.stage": version.stage}
        points = {**logged.points, **own.points}
        curves = {
            name: [p.value for p in sorted(several)] for name, several in points.items() if len(several) > 1
        }
        return Arrival(
            _reference(version),
            MAIN,
            tuple(self._files(version, own)),
            version.user or logged.tags.get("mlflow.user") or logged.user,
            version.created_at * 1000,
            told,
            before,
            version.description or logged.name,
            f"v{version.number}",
            params,
            {name: max(several).value for name, several in points.items() if several},
            curves,
            _dataset(logged.datasets),
            _code(logged.tags),
            tuple(left) if run is None and version.run else (),
        )

    def _files(self, version: Registered, own: Logged) -> list[File]:
        owner = version.model or version.run
        location = own.location if version.location.startswith("models:/") else version.location
        return self._artifacts.files(location, owner)


def _registry(place: str) -> tuple[Registry, Path]:
    """The registry at a place, and the folder that it is in."""
    path = Path(
        place.removeprefix(SQLITE + "/") if place.startswith(SQLITE) else place.removeprefix("file://")
    )
    path = path.expanduser().absolute()
    if not path.exists():
        raise NotFound(f"there is no {path}", hint="name an mlruns folder, or sqlite:///PATH of a database")
    if path.is_file():
        return DatabaseRegistry(path), path.parent
    if is_database(path / DATABASE):
        return DatabaseRegistry(path / DATABASE), path
    folder = path / RUNS if is_file_store(path / RUNS) else path
    if not is_file_store(folder):
        raise UsageError(
            f"{path} is no store of MLflow", hint="name an mlruns folder, or sqlite:///PATH of a database"
        )
    return FileRegistry(folder), folder


def _offer(models: Sequence[str]) -> str:
    return ", ".join(models[:10]) or "it has none"


def _reference(version: Registered) -> str:
    """A number is given once; who deletes the whole model and begins anew begins at another time."""
    return f"{version.number}:{version.created_at}"


def _exact(text: str) -> Any:
    """A number where it is written as this program would write it; else the text: MLflow keeps texts alone."""
    try:
        number = json.loads(text)
    except ValueError:
        return text
    is_number = isinstance(number, int | float) and not isinstance(number, bool)
    return number if is_number and repr(number) == text else text


def _dataset(datasets: Sequence[Mapping[str, Any]]) -> Dataset | None:
    if not datasets:
        return None
    first, *more = (
        {key: str(one.get(key) or "") for key in ("name", "digest", "source")} for one in datasets
    )
    return Dataset(first["name"], first["source"], first["digest"], extra={"more": more} if more else {})


def _code(tags: Mapping[str, str]) -> Code | None:
    commit = tags.get("mlflow.source.git.commit", "")
    if not commit:
        return None
    remote, branch = tags.get("mlflow.source.git.repoURL", ""), tags.get("mlflow.source.git.branch", "")
    return Code(commit, without_secrets(remote), branch, dirty=tags.get("mlflow.source.git.dirty") == "true")
