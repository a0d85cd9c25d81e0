"""Step 6: one value of one version is found at once, without the others of it; versions in the order of their sizes."""

from __future__ import annotations

from lepton_ai.catalog.migrations.steps import create_index, drop_index

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the indexes, and drop those that say less."""
    create_index("search_by_size", "search_versions", ["repository", "size", "place"])
    for table in ("search_numbers", "search_words"):
        columns = ["repository", "place", "name"]
        create_index(f"{table}_of_place", table, columns, postgresql_include=["value"])
        drop_index(f"{table}_by_place", table)
