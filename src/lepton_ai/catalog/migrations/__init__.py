"""The numbered steps from an empty database to today's tables (Alembic). Steps are appended, never changed."""
