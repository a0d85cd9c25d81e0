"""The tables as they are today, a file per subject. How they came to be so is in ``catalog/migrations/versions``."""

from __future__ import annotations

from lepton_ai.catalog.tables import history, jobs, journal, packs, people, repositories, search
from lepton_ai.catalog.tables.types import METADATA

__all__ = ["METADATA", "history", "jobs", "journal", "packs", "people", "repositories", "search"]
