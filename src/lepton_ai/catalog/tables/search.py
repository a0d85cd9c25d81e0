"""The version index: what filters and orders look at, kept by a hook in every commit. All of it can be rebuilt."""

from __future__ import annotations

from sqlalchemy import Column, Double, ForeignKey, Index, PrimaryKeyConstraint, Table

from lepton_ai.catalog.tables.types import METADATA, NAME_BYTES, OPTIONS, Bytes, Number, Words
from lepton_ai.history.filters.facts import LONGEST_TEXT
from lepton_ai.history.refs.rules import ID_LENGTH

TEXT_BYTES = 4 * LONGEST_TEXT
VALUE_NAME_BYTES = TEXT_BYTES + 10


def _repository() -> Column[int]:
    return Column("repository", Number, ForeignKey("repositories.number"), nullable=False)


# ``place`` is the sequence number of the first revision in ``versions``. ``*_folded``: whatever the case of letters.
FOUND = Table(
    "search_versions",
    METADATA,
    _repository(),
    Column("place", Number, nullable=False),
    Column("first", Bytes(ID_LENGTH), nullable=False),
    Column("id", Words(64), nullable=False),
    Column("name", Words(NAME_BYTES), nullable=False),
    Column("name_folded", Words(), nullable=False),
    Column("line", Words(NAME_BYTES), nullable=False),
    Column("author", Words(TEXT_BYTES), nullable=False),
    Column("author_folded", Words(), nullable=False),
    Column("message", Words(), nullable=False),
    Column("message_folded", Words(), nullable=False),
    Column("status", Words(16), nullable=False),
    Column("content", Words(64), nullable=False),
    Column("created", Number, nullable=False),
    Column("updated", Number, nullable=False),
    Column("revision", Number, nullable=False),
    Column("size", Number, nullable=False),
    PrimaryKeyConstraint("repository", "place"),
    Index("search_by_first", "repository", "first", unique=True),
    Index("search_by_id", "repository", "id"),
    Index("search_by_name", "repository", "name", "place"),
    Index("search_by_line", "repository", "line", "place"),
    Index("search_by_author", "repository", "author", "place"),
    Index("search_by_status", "repository", "status", "place"),
    Index("search_by_content", "repository", "content"),
    Index("search_by_created", "repository", "created", "place"),
    Index("search_by_updated", "repository", "updated", "place"),
    Index("search_by_size", "repository", "size", "place"),
    **OPTIONS,
)

# ``name`` is m and the metric's name, or p and the param's. A value of NULL is NaN.
NUMBERS = Table(
    "search_numbers",
    METADATA,
    _repository(),
    Column("name", Words(VALUE_NAME_BYTES), nullable=False),
    Column("place", Number, nullable=False),
    Column("value", Double),
    PrimaryKeyConstraint("repository", "name", "place"),
    Index("search_numbers_in_order", "repository", "name", "value", "place"),
    Index("search_numbers_of_place", "repository", "place", "name", postgresql_include=["value"]),
    **OPTIONS,
)

WORDS = Table(
    "search_words",
    METADATA,
    _repository(),
    Column("name", Words(VALUE_NAME_BYTES), nullable=False),
    Column("place", Number, nullable=False),
    Column("value", Words(TEXT_BYTES), nullable=False),
    Column("folded", Words(), nullable=False),
    PrimaryKeyConstraint("repository", "name", "place"),
    Index("search_words_in_order", "repository", "name", "value", "place"),
    Index("search_words_of_place", "repository", "place", "name", postgresql_include=["value"]),
    **OPTIONS,
)

LABELS = Table(
    "search_labels",
    METADATA,
    _repository(),
    Column("kind", Words(8), nullable=False),
    Column("name", Words(NAME_BYTES), nullable=False),
    Column("folded", Words(), nullable=False),
    Column("place", Number, nullable=False),
    PrimaryKeyConstraint("repository", "kind", "name"),
    Index("search_labels_by_place", "repository", "place", "kind"),
    **OPTIONS,
)

# A branch's lasting identity → its name now.
LINES = Table(
    "search_lines",
    METADATA,
    _repository(),
    Column("line", Words(NAME_BYTES), nullable=False),
    Column("name", Words(NAME_BYTES), nullable=False),
    Column("folded", Words(), nullable=False),
    PrimaryKeyConstraint("repository", "line"),
    Index("search_lines_by_name", "repository", "name"),
    **OPTIONS,
)
