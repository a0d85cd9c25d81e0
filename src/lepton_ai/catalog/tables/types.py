"""Column types that mean the same on SQLite, PostgreSQL and MySQL, and the one place where tables are registered.

Texts that are compared are kept as their UTF-8 bytes: bytes compare the same everywhere, in the order of code points,
with no collation, padding or case in between, and PostgreSQL's own texts cannot hold NUL.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Integer, LargeBinary, MetaData
from sqlalchemy.dialects.mysql import LONGBLOB, VARBINARY
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine

from lepton_ai.errors import Damaged

METADATA = MetaData()
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mariadb_engine": "InnoDB",
    "sqlite_autoincrement": True,
}
"""For every table: transactions, whatever the server's default is; numbers that are given once."""

KEY_BYTES = 2000
"""Of a ref's key in UTF-8. PostgreSQL indexes up to 2,704 bytes, MySQL 3,072; two numbers stand beside it."""
NAME_BYTES = 512
"""Of a name in UTF-8."""

Number = BigInteger().with_variant(Integer(), "sqlite")
"""64 bits, signed. (SQLite's INTEGER has as many, and only it counts by itself.)"""


class Bytes(TypeDecorator[bytes]):
    """Bytes as they are, at most ``most`` of them; without it as many as the database takes. Only with it indexable."""

    impl = LargeBinary
    cache_ok = True

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.most = most

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """MySQL cannot index a BLOB whole."""
        if dialect.name in {"mysql", "mariadb"}:
            return dialect.type_descriptor(LONGBLOB() if self.most is None else VARBINARY(self.most))
        return dialect.type_descriptor(LargeBinary())

    def process_result_value(self, value: Any, dialect: Dialect) -> bytes | None:  # noqa: ARG002  (SQLAlchemy's signature)
        """As it was written. Raises: Damaged (SQLite columns take anything)."""
        if value is None or isinstance(value, bytes):
            return value
        raise Damaged(
            "the catalog is damaged: a column holds what was never put there", hint="restore a backup"
        )


class Words(TypeDecorator[str]):
    """A text of any Unicode, NUL included, as UTF-8 bytes; at most ``most`` bytes when it is to be indexed."""

    impl = Bytes
    cache_ok = True

    def __init__(self, most: int | None = None) -> None:
        super().__init__(most)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> Any:  # noqa: ARG002  (SQLAlchemy's signature)
        """UTF-8."""
        return None if value is None else value.encode()

    def process_result_value(self, value: Any, dialect: Dialect) -> str | None:  # noqa: ARG002  (SQLAlchemy's signature)
        """From UTF-8. Raises: Damaged."""
        try:
            return None if value is None else value.decode()
        except UnicodeDecodeError as problem:
            raise Damaged(f"the catalog is damaged: {problem}", hint="restore a backup") from problem
