"""The numbered steps from an empty file to today's tables, oldest first. Steps are appended, never changed.

The number of a step is its place here, and what ``PRAGMA user_version`` says once it is done.
"""

from __future__ import annotations

from lepton_ai.history.refs.migrations import m0001_refs_log_rows
from lepton_ai.history.refs.migrations.contract import Migration

MIGRATIONS: tuple[Migration, ...] = (m0001_refs_log_rows.apply,)
