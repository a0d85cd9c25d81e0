"""The repository's state machine, as shipped in ``lepton_ai.testing.journeys``."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from lepton_ai.testing.journeys import RepositoryMachine

TestRepository = RepositoryMachine.TestCase
TestRepository.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.slow
class TestLongHistories(RepositoryMachine.TestCase):
    settings = settings(
        max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
