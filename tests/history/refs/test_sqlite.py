"""The embedded history keeps every promise of the contract."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lepton_ai.history.refs.sqlite import SqliteHistory
from lepton_ai.testing.refs import RefSuite
from lepton_ai.testing.refs_machine import RefMachine
from tests.history.refs.conftest import MEMORY


class TestSqliteHistory(RefSuite):
    @pytest.fixture
    def opened(self) -> Iterator[list[SqliteHistory]]:
        histories: list[SqliteHistory] = []
        yield histories
        for history in histories:
            assert history.integrity() == []
            history.close()

    @pytest.fixture
    def reopen(self, swift_path: Path, opened: list[SqliteHistory]) -> Callable[[], SqliteHistory]:
        def again() -> SqliteHistory:
            opened.append(SqliteHistory(swift_path / "history.db"))
            return opened[-1]

        return again

    @pytest.fixture
    def history(self, reopen: Callable[[], SqliteHistory]) -> SqliteHistory:
        return reopen()


class SqliteMachine(RefMachine):
    def open(self) -> SqliteHistory:
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None)
        return self._open()

    def reopen(self) -> SqliteHistory:
        self.history.close()
        return self._open()

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            assert self.history.integrity() == []
            super().teardown()
            self.folder.cleanup()

    def _open(self) -> SqliteHistory:
        return SqliteHistory(Path(self.folder.name) / "history.db")


TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
