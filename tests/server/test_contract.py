"""Schemathesis asks every operation everything that its description allows, and much that it does not."""

from __future__ import annotations

import itertools
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import pytest
import schemathesis
import uvicorn
from argon2 import PasswordHasher
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from lepton_ai import wire
from lepton_ai.catalog import packs, passwords, people, repositories, tokens
from lepton_ai.server import founding
from lepton_ai.server.app import create_app
from lepton_ai.server.settings import ServerSettings
from tests.server.conftest import PASSWORD
from tests.server.processes import eventually, ready

FEW, MANY = 2, 50
"""Cases for an operation in ``make test``, and in the slow target."""
CHECKS = (not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance)
NUMBERS = itertools.count()


class Asked:
    """A server in a thread, which cannot be left by what a case does."""

    def __init__(self, folder: Path) -> None:
        settings = ServerSettings(folder=folder, docs=True)
        founding.found(settings, "ana", PASSWORD)
        most = {"rate": 1e6, "burst": 10**6, "login_rate": 1e6, "login_burst": 10**6}
        self.app = create_app(msgspec.structs.replace(settings, **most))
        self._server = uvicorn.Server(uvicorn.Config(self.app, port=0, log_config=None, access_log=False))
        self._thread = threading.Thread(target=self._server.run)
        self.address = ""
        self._things: dict[str, str] | None = None
        self.headers: dict[str, str] = {}

    def start(self) -> None:
        self._thread.start()
        eventually(lambda: self._server.started)
        self.address = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        eventually(lambda: ready(self.address))
        self.headers = self.token()

    def stop(self) -> None:
        self._server.should_exit = True
        self._thread.join()

    def token(self) -> dict[str, str]:
        """A new token, made without a login: too many wrong ones, as cases send them, lock this address out."""
        catalog = self.app.state.running.catalog
        new = wire.NewToken("x", ("read", "write", "admin"))
        return {"Authorization": f"Bearer {tokens.make(catalog, people.find(catalog, 'ana'), new).secret}"}

    def things(self, *, anew: bool) -> dict[str, str]:
        """A repository, with all that can stand in an address; one that nobody has deleted anything of."""
        if self._things is None or anew:
            self._things = self._make()
        return self._things

    def _make(self) -> dict[str, str]:
        """A repository of two versions, a branch, a tag, an alias and a user: what can stand in an address."""
        name = f"r{next(NUMBERS)}"
        running = self.app.state.running
        new = {"owner": "ana", "name": name}
        assert (
            httpx.post(f"{self.address}/api/v1/repositories", json=new, headers=self.headers).status_code
            == 201
        )
        row = repositories.find(running.catalog, "ana", name)
        repository = running.homes.open(row, author="ana")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights.npy"
            for accuracy in (0.5, 0.9):
                np.save(file, np.full(64, accuracy, np.float32))
                repository.save_files(file, "main", metrics={"accuracy": accuracy}, params={"rate": 0.1})
        repository.create_branch("feature")
        repository.tag("paper", "v1")
        repository.set_alias("production", "v2")
        people.add_user(running.catalog, f"u{name}", PASSWORD)
        pack = packs.page(running.catalog, row.number).packs[0]
        return {"owner": "ana", "name": name, "version": "v1", "branch": "feature", "tag": "paper",
                "alias": "production", "pack": pack.name, "path": "weights.npy", "tensor": "x"}  # fmt: skip


@pytest.fixture(scope="module")
def asked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Asked]:
    before = passwords.HASHER
    passwords.HASHER = PasswordHasher(1, 8, 1)
    made = Asked(tmp_path_factory.mktemp("contract") / "server")
    made.start()
    yield made
    made.stop()
    passwords.HASHER = before


def _operations() -> dict[str, Any]:
    app = create_app(ServerSettings(folder=Path("nowhere")))
    schema = schemathesis.openapi.from_dict(app.openapi())
    found = (result.ok() for result in schema.get_all_operations())
    return {operation.label: operation for operation in found}


OPERATIONS = _operations()
MODES = [schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE]


def _modes(label: str) -> list[Any]:
    """What fits, and what does not, where anything can be sent."""
    operation = OPERATIONS[label]
    given_ = operation.body or operation.query or operation.path_parameters or operation.headers
    return MODES if given_ else MODES[:1]


def _ask(asked: Asked, label: str, mode: Any, cases: int) -> None:
    """Cases of one operation; in half of them the address names what is there."""
    operation, turn = OPERATIONS[label], itertools.count()
    things = asked.things(anew=label.startswith("DELETE"))

    @given(operation.as_strategy(generation_mode=mode))
    @hypothesis_settings(
        max_examples=cases,
        database=None,
        deadline=None,
        derandomize=cases == FEW,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def ask(case: Any) -> None:
        if next(turn) % 2 == 0:
            known = {name: value for name, value in things.items() if name in (case.path_parameters or {})}
            case.path_parameters = {**(case.path_parameters or {}), **known}
        headers = asked.token() if "logout" in label else asked.headers
        answer = case.call(base_url=asked.address, headers=headers)
        if (
            "x-request-id" not in answer.headers
        ):  # it is no HTTP, or its address is 64 kB long: uvicorn says so itself
            assert (answer.status_code, answer.text) == (400, "Invalid HTTP request received.")
            return
        case.validate_response(answer, checks=CHECKS)

    ask()


@pytest.mark.parametrize("label", OPERATIONS)
def test_an_operation_keeps_to_its_description(asked: Asked, label: str) -> None:
    for mode in _modes(label):
        _ask(asked, label, mode, FEW)


@pytest.mark.slow
@pytest.mark.parametrize("label", OPERATIONS)
def test_an_operation_keeps_to_its_description_in_many_cases(asked: Asked, label: str) -> None:
    """At least 5,000 cases in all."""
    assert sum(MANY * len(_modes(one)) for one in OPERATIONS) >= 5000
    for mode in _modes(label):
        _ask(asked, label, mode, MANY)
