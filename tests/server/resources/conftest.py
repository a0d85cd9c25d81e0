"""A server in this process; who asks is told by name."""

from __future__ import annotations

from tests.server.people_by_name import ada, called, empty_catalog, root, settings

__all__ = ["ada", "called", "empty_catalog", "root", "settings"]
