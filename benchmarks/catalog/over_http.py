"""The same from afar: a server process over the filled database, asked by HTTP on this machine."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.catalog import making
from benchmarks.catalog.asking import LARGEST, Asker, Question
from benchmarks.catalog.filling import PASSWORD
from lepton_ai.server import founding
from lepton_ai.server.settings import FILE, ServerSettings
from tests.server.processes import started

_PATIENT = {"rate": 1e6, "burst": 1_000_000, "log_level": "error"}
"""Whoever measures asks more often than people may."""


@contextmanager
def questions(url: str, asker: Asker) -> Iterator[dict[str, Question]]:
    """Name → a request; the server runs until the end of the block."""
    with tempfile.TemporaryDirectory(prefix="lepton-scale-") as temporary:
        folder = Path(temporary) / "server"
        founding.found(ServerSettings(folder=folder, database=url), making.person(0), PASSWORD)
        kept = json.loads((folder / FILE).read_text())
        (folder / FILE).write_text(json.dumps(kept | _PATIENT))
        with started(folder) as server:
            headers = {"Authorization": f"Bearer {asker.secret}"}
            with httpx.Client(base_url=f"{server.address}/api/v1", headers=headers, timeout=60) as client:
                yield _questions(client, asker)


def _questions(client: httpx.Client, asker: Asker) -> dict[str, Question]:
    rng, size = asker.rng, asker.sizes[0]
    largest = _path(LARGEST)

    def get(path: str, **given: Any) -> None:
        _good(client.get(path, params=given))

    def move() -> None:
        version = f"v{rng.randrange(1, size + 1)}"
        _good(client.put(f"{largest}/aliases/moving", json={"version": version}))

    return {
        "HTTP: who I am (no repository)": lambda: get("/me"),
        "HTTP: a repository (permission check)": lambda: get(_path(asker.some())),
        "HTTP: list repositories, 50": lambda: get("/repositories", limit=50),
        "HTTP: list versions, newest 50": lambda: get(f"{largest}/versions", limit=50),
        "HTTP: search, metric > x AND author, best first": lambda: get(
            f"{largest}/versions",
            where=f"metrics.accuracy > 0.8 AND author = '{making.person(rng.randrange(100))}'",
            order_by="metrics.accuracy DESC",
            limit=50,
        ),
        "HTTP: log, newest 50": lambda: get(f"{largest}/log", limit=50),
        "HTTP: log of a branch, 50": lambda: get(f"{largest}/log", ref="branch/main", limit=50),
        "HTTP: show a version": lambda: get(f"{largest}/versions/v{rng.randrange(1, size + 1)}"),
        "HTTP: move an alias": move,
    }


def _path(number: int) -> str:
    return f"/repositories/{making.owner_of(number)}/{making.name_of(number)}"


def _good(answer: httpx.Response) -> None:
    assert answer.is_success, answer.text
