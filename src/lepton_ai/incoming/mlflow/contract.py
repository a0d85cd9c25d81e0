"""What a registry of MLflow tells, wherever it keeps it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import msgspec


class Point(msgspec.Struct, frozen=True, order=True):
    """A value of a metric. Points order as MLflow finds the latest: by step, time (milliseconds since 1970), value."""

    step: int
    at: int
    value: float


class Logged(msgspec.Struct):
    """What was logged to a run, or to a model itself: MLflow 3 has both."""

    params: dict[str, str] = {}
    points: dict[str, list[Point]] = {}
    tags: dict[str, str] = {}
    name: str = ""
    user: str = ""
    location: str = ""
    datasets: list[dict[str, Any]] = []
    """Each with name, digest and source."""


class Registered(msgspec.Struct, frozen=True):
    """A version of a registered model; ``created_at`` in milliseconds since 1970. ``location``: where its files are."""

    number: int
    created_at: int
    location: str
    run: str = ""
    model: str = ""
    user: str = ""
    description: str = ""
    stage: str = ""
    tags: Mapping[str, str] = {}


class Registry(Protocol):
    """Reads one store."""

    def models(self) -> list[str]:
        """Names of registered models."""

    def versions(self, model: str) -> list[Registered]:
        """Its versions that were not deleted, by their number."""

    def aliases(self, model: str) -> dict[str, int]:
        """Alias → number."""

    def about(self, model: str) -> list[str]:
        """What is said of the model as a whole, each told for people."""

    def run(self, run: str) -> Logged | None:
        """What was logged to a run; None when it is gone."""

    def logged_model(self, model: str) -> Logged | None:
        """What was logged to a model; None when there is none."""

    def close(self) -> None:
        """Let go of the database."""
