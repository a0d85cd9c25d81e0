"""MLflow's store of files: ``mlruns`` with a folder for each experiment, run and registered model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_ai.incoming.mlflow.contract import Logged, Point, Registered
from lepton_ai.incoming.values import mapping, parsed

META = "meta.yaml"
DELETED = "Deleted_Internal"


def is_file_store(folder: Path) -> bool:
    """Whether a folder is an ``mlruns``: with registered models, or experiments."""
    if (folder / "models").is_dir() and any((folder / "models").glob(f"*/{META}")):
        return True
    return any("experiment_id" in _meta(child) for child in folder.glob(f"*/{META}"))


class FileRegistry:
    """A :class:`~lepton_ai.incoming.mlflow.contract.Registry` over ``mlruns``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def models(self) -> list[str]:
        """Folders of ``models``."""
        return sorted(str(_meta(file).get("name") or file.parent.name) for file in self._metas("models/*"))

    def versions(self, model: str) -> list[Registered]:
        """Folders ``version-N`` of a model."""
        found = []
        for file in self._metas(f"models/{model}/version-*"):
            told = _meta(file)
            if told.get("current_stage") == DELETED or not str(told.get("version", "")).isdigit():
                continue
            found.append(
                Registered(
                    int(told["version"]),
                    _number(told.get("creation_timestamp")),
                    str(told.get("storage_location") or told.get("source") or ""),
                    str(told.get("run_id") or ""),
                    str(told.get("model_id") or ""),
                    str(told.get("user_id") or ""),
                    str(told.get("description") or ""),
                    str(told.get("current_stage") or ""),
                    _texts(file.parent / "tags"),
                )
            )
        return sorted(found, key=lambda version: version.number)

    def aliases(self, model: str) -> dict[str, int]:
        """Files of ``aliases``."""
        texts = _texts(self._folder / "models" / model / "aliases")
        return {name: int(number) for name, number in texts.items() if number.isdigit()}

    def about(self, model: str) -> list[str]:
        """Its description and tags."""
        folder = self._folder / "models" / model
        tags = [f"tag {name} = {value}" for name, value in _texts(folder / "tags").items()]
        description = _meta(folder / META).get("description")
        return [*([f"description: {description}"] if description else []), *tags]

    def run(self, run: str) -> Logged | None:
        """The folder of a run in whichever experiment."""
        file = next(iter(self._metas(f"*/{run}")), None) if run else None
        if file is None:
            return None
        told = _meta(file)
        logged = self._logged(file.parent)
        logged.name, logged.user = str(told.get("run_name") or ""), str(told.get("user_id") or "")
        logged.location = str(told.get("artifact_uri") or "")
        experiment = file.parent.parent
        for link in self._metas(f"{experiment.name}/{run}/inputs/*"):
            source = experiment / "datasets" / str(_meta(link).get("source_id")) / META
            if source.is_file():
                logged.datasets.append(dict(_meta(source)))
        return logged

    def logged_model(self, model: str) -> Logged | None:
        """The folder of a model in whichever experiment."""
        file = next(iter(self._metas(f"*/models/{model}")), None) if model else None
        if file is None:
            return None
        logged = self._logged(file.parent)
        logged.location = str(_meta(file).get("artifact_location") or "")
        return logged

    def close(self) -> None:
        """Nothing is open."""

    def _metas(self, pattern: str) -> list[Path]:
        return sorted(self._folder.glob(f"{pattern}/{META}"))

    def _logged(self, folder: Path) -> Logged:
        points = {name: _points(text) for name, text in _texts(folder / "metrics").items()}
        return Logged(_texts(folder / "params"), points, _texts(folder / "tags"))


def _meta(file: Path) -> Mapping[str, Any]:
    try:
        return mapping(parsed(META, file.read_bytes()))
    except OSError:
        return {}


def _texts(folder: Path) -> dict[str, str]:
    """Every file below a folder by its name; names with a slash are in folders."""
    return {
        file.relative_to(folder).as_posix(): file.read_text(encoding="utf-8", errors="replace")
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def _points(text: str) -> list[Point]:
    """Lines of time, value and step; those of MLflow before 1.0 have no step."""
    found = []
    for line in text.splitlines():
        parts = line.split()
        try:
            step = int(parts[2]) if len(parts) > 2 else 0
            found.append(Point(step, int(float(parts[0])), float(parts[1])))
        except (ValueError, IndexError):
            continue  # half a line, of a run that was killed
    return found


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
