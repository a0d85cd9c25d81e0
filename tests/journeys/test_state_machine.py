"""The repository's state machine, as shipped in ``lepton_ai.testing.journeys``."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

from lepton_ai.testing.journeys import RepositoryMachine

TestRepository = RepositoryMachine.TestCase
TestRepository.settings = settings(
    max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
