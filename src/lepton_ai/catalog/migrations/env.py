"""What Alembic runs: the steps it was told, on the connection that it was given."""

from __future__ import annotations

from alembic import context

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    version_table=context.config.attributes["version_table"],
    transactional_ddl=False,  # whoever calls has begun the transaction, and ends it
)
context.run_migrations()
