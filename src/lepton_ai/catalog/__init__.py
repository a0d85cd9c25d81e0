"""The server's database: refs, versions, repositories, packs, people. Only this room knows SQLAlchemy and Alembic."""
