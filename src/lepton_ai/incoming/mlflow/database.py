"""MLflow's SQLite database, read as it is: columns that an older MLflow does not have are passed over."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from lepton_ai.errors import StorageFailed
from lepton_ai.incoming.mlflow.contract import Logged, Point, Registered
from lepton_ai.incoming.mlflow.files import DELETED

LARGEST = 1.7976931348623157e308
"""What stands for infinity in a column that has none."""
_MAGIC = b"SQLite format 3\0"


def is_database(file: Path) -> bool:
    """Whether a file is a SQLite database with a registry in it."""
    try:
        with file.open("rb") as handle:
            if handle.read(len(_MAGIC)) != _MAGIC:
                return False
    except OSError:
        return False
    with closing(DatabaseRegistry(file)) as registry:
        return registry.has("model_versions")


class DatabaseRegistry:
    """A :class:`~lepton_ai.incoming.mlflow.contract.Registry` over a SQLite file, which is never written."""

    def __init__(self, file: Path) -> None:
        self._file = file
        with self._errors():
            self._connection = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True)
            self._connection.row_factory = sqlite3.Row

    def has(self, table: str) -> bool:
        """Whether there is such a table."""
        return bool(self._rows("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?", table))

    def models(self) -> list[str]:
        """Of ``registered_models``."""
        return [str(row["name"]) for row in self._rows("SELECT name FROM registered_models ORDER BY name")]

    def versions(self, model: str) -> list[Registered]:
        """Of ``model_versions``."""
        found = []
        for row in self._rows("SELECT * FROM model_versions WHERE name = ? ORDER BY version", model):
            if row.get("current_stage") == DELETED:
                continue
            location = str(row.get("storage_location") or row.get("source") or "")
            source = str(row.get("source") or "")
            logged = source.removeprefix("models:/") if source.startswith("models:/m-") else ""
            number = int(row["version"])
            query = "SELECT key, value FROM model_version_tags WHERE name = ? AND version = ?"
            tags = self._pairs("model_version_tags", query, model, number)
            found.append(
                Registered(
                    number,
                    int(row.get("creation_time") or 0),
                    location,
                    str(row.get("run_id") or ""),
                    logged or _model_in(location),
                    str(row.get("user_id") or ""),
                    str(row.get("description") or ""),
                    str(row.get("current_stage") or ""),
                    tags,
                )
            )
        return found

    def aliases(self, model: str) -> dict[str, int]:
        """Of ``registered_model_aliases``."""
        query = "SELECT alias AS key, version AS value FROM registered_model_aliases WHERE name = ?"
        return {name: int(v) for name, v in self._pairs("registered_model_aliases", query, model).items()}

    def about(self, model: str) -> list[str]:
        """Its description and tags."""
        rows = self._rows("SELECT description FROM registered_models WHERE name = ?", model)
        said = [f"description: {row['description']}" for row in rows if row["description"]]
        query = "SELECT key, value FROM registered_model_tags WHERE name = ?"
        tags = self._pairs("registered_model_tags", query, model)
        return [*said, *(f"tag {name} = {value}" for name, value in tags.items())]

    def run(self, run: str) -> Logged | None:
        """Of ``runs``, ``params``, ``metrics``, ``tags`` and ``inputs``."""
        rows = self._rows("SELECT * FROM runs WHERE run_uuid = ?", run) if run else []
        if not rows:
            return None
        row = rows[0]
        points: dict[str, list[Point]] = {}
        for point in self._rows("SELECT * FROM metrics WHERE run_uuid = ?", run):
            value = _value(point["value"], nan=bool(point.get("is_nan")))
            at, step = int(point["timestamp"] or 0), int(point.get("step") or 0)
            points.setdefault(str(point["key"]), []).append(Point(step, at, value))
        return Logged(
            self._pairs("params", "SELECT key, value FROM params WHERE run_uuid = ?", run),
            points,
            self._pairs("tags", "SELECT key, value FROM tags WHERE run_uuid = ?", run),
            str(row.get("name") or ""),
            str(row.get("user_id") or ""),
            str(row.get("artifact_uri") or ""),
            self._datasets(run),
        )

    def logged_model(self, model: str) -> Logged | None:
        """Of ``logged_models`` and their params and metrics."""
        if not model or not self.has("logged_models"):
            return None
        rows = self._rows("SELECT * FROM logged_models WHERE model_id = ?", model)
        if not rows:
            return None
        points: dict[str, list[Point]] = {}
        for point in self._rows("SELECT * FROM logged_model_metrics WHERE model_id = ?", model):
            found = Point(
                int(point.get("metric_step") or 0),
                int(point.get("metric_timestamp_ms") or 0),
                _value(point.get("metric_value"), nan=point.get("metric_value") is None),
            )
            points.setdefault(str(point["metric_name"]), []).append(found)
        query = "SELECT param_key AS key, param_value AS value FROM logged_model_params WHERE model_id = ?"
        params = self._pairs("logged_model_params", query, model)
        return Logged(params, points, location=str(rows[0].get("artifact_location") or ""))

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def _datasets(self, run: str) -> list[dict[str, Any]]:
        if not (self.has("inputs") and self.has("datasets")):
            return []
        rows = self._rows(
            "SELECT d.name, d.digest, d.dataset_source AS source FROM inputs i"
            " JOIN datasets d ON d.dataset_uuid = i.source_id"
            " WHERE i.destination_id = ? AND i.source_type = 'DATASET'",
            run,
        )
        return [dict(row) for row in rows]

    def _pairs(self, table: str, query: str, *values: object) -> dict[str, str]:
        if not self.has(table):
            return {}
        return {str(row["key"]): str(row["value"]) for row in self._rows(query, *values)}

    def _rows(self, query: str, *values: object) -> list[dict[str, Any]]:
        with self._errors():
            return [dict(row) for row in self._connection.execute(query, values)]

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as problem:
            raise StorageFailed(
                f"{self._file} cannot be read as a database of MLflow: {problem}",
                hint="is it the right file?",
            ) from problem


def _value(value: Any, *, nan: bool) -> float:
    if nan or value is None:
        return math.nan
    number = float(value)
    return math.copysign(math.inf, number) if abs(number) >= LARGEST else number


def _model_in(location: str) -> str:
    """The logged model that a location is of: ``…/models/m-1a2b…/artifacts``."""
    return next((part for part in location.split("/") if part.startswith("m-") and len(part) > 30), "")
