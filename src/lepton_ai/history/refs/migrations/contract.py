"""What a migration is."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable

Migration = Callable[[sqlite3.Connection], None]
"""Changes tables and rows through a connection that is in a transaction already.

It neither begins nor commits (so no ``executescript``), and may leave foreign keys broken in between.
"""
