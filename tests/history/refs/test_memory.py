"""The history in memory keeps every promise of the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import settings

from lepton_ai.history.refs.memory import MemoryHistory
from lepton_ai.testing.refs import RefSuite
from lepton_ai.testing.refs_machine import RefMachine


class TestMemoryHistory(RefSuite):
    @pytest.fixture
    def history(self) -> MemoryHistory:
        return MemoryHistory()

    @pytest.fixture
    def reopen(self, history: MemoryHistory) -> Callable[[], MemoryHistory]:
        return lambda: history


class MemoryMachine(RefMachine):
    def open(self) -> MemoryHistory:
        return MemoryHistory()


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
