"""Find a repository's versions by a filter, in an order, a page at a time."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog import on_branch, search_few
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.on_branch import Member, Standing
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.search_conditions import Conditions, plain
from lepton_ai.catalog.search_orders import Phase, Sorted, phases
from lepton_ai.catalog.tables.search import FOUND
from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError
from lepton_ai.history import listing
from lepton_ai.history.filters import grammar, nodes, order
from lepton_ai.history.filters.nodes import Expression
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.types import VersionInfo

T = TypeVar("T")
LONGEST_PAGE = 1000
_LONGEST_CURSOR = 10_000
IN_STEPS = "SELECT " + ", ".join(
    f"set_config('{name}', '{value}', true)"
    for name, value in {
        "enable_hashjoin": "off", "enable_memoize": "off", "enable_mergejoin": "off", "enable_bitmapscan": "off",
        "max_parallel_workers_per_gather": "0",
    }.items()
)  # fmt: skip
"""PostgreSQL, until the end of the transaction: go from row to row. It believes too often that little fits, and
then puts together whole repositories instead of one page. (Where little does fit, it may choose.)"""
_IN_ORDER = [nodes.Field("text", name) for name in ("name", "author", "status")]


class Page(msgspec.Struct, frozen=True):
    """Versions in order; ``next`` is the cursor of the page behind, None when this was the last."""

    versions: tuple[VersionInfo, ...]
    next: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last version of a page: of which question, in which phase, its values and its place."""

    question: str
    phase: int
    values: tuple[Sorted, ...]
    place: int


def versions(
    catalog: Catalog,
    number: int,
    filter: str = "",  # noqa: A002  (what it is)
    order_by: str = "",
    cursor: str | None = None,
    limit: int = 50,
    *,
    branch: Standing | None = None,
    deleted: bool = False,
) -> Page:
    """A page of the versions of repository ``number`` that fit, the newest first unless ``order_by`` says otherwise.

    With ``branch`` only those that it has, as ``lepton versions -b`` lists them: a filter or an order then takes time
    in proportion to the branch. Deleted ones are among them with ``deleted``, or when the filter says something about
    the status. What is saved while somebody turns pages neither doubles nor hides anything else.

    Raises:
        UsageError: the filter or the order cannot be read (says the column), or the cursor is of another question.
    """
    if not 1 <= limit <= LONGEST_PAGE:
        raise UsageError(f"a page has 1 to {LONGEST_PAGE} versions, not {limit}")
    wanted, keys = grammar.parse(filter), order.parse(order_by)
    question = _question(filter, order_by, branch.uid if branch is not None else None, deleted)
    if branch is not None and not filter.strip() and not order_by.strip():
        return _of_branch(catalog, number, branch, question, cursor, limit, deleted=deleted)
    conditions = Conditions(number, catalog.engine.dialect.name)
    asked = plain(wanted)
    parts = phases(conditions, keys, asked)
    after = None if cursor is None else _read(cursor, question, parts)
    with catalog.reading() as connection:
        narrow = not _is_in_order(asked, keys)
        few = search_few.few(connection, number, asked, conditions.dialect) if narrow else None
        if few is None:
            condition = conditions.of(asked)
            if conditions.dialect == "postgresql":
                connection.exec_driver_sql(IN_STEPS)
        elif few.queries:
            condition = and_(few.one_of(FOUND.c.place), conditions.of(few.left))
        else:
            return Page((), None)
        condition = _living(condition, wanted, deleted=deleted)
        mine = None if branch is None else list(on_branch.members(connection, number, branch))
        if mine is not None:
            condition = and_(condition, _about(mine))
        among = None if mine is None else {member.place for member in mine}
        found = _rows(connection, parts, condition, after, limit + 1, among, little=few is not None)
        infos = _infos(connection, number, [row[1] for _, row in found[:limit]])
    return Page(infos, _write(question, *found[limit - 1]) if len(found) > limit else None)


def count(catalog: Catalog, number: int, filter: str = "", *, deleted: bool = False) -> int:  # noqa: A002
    """How many versions fit: takes time in proportion to the repository.

    Raises:
        UsageError: the filter cannot be read.
    """
    conditions = Conditions(number, catalog.engine.dialect.name)
    wanted = grammar.parse(filter)
    condition = _living(conditions.of(plain(wanted)), wanted, deleted=deleted)
    query = select(func.count()).select_from(FOUND).where(FOUND.c.repository == number, condition)
    with catalog.reading() as connection:
        return int(connection.execute(query).scalar_one())


def _living(condition: Any, wanted: Expression, *, deleted: bool) -> Any:
    """The condition, without deleted versions unless they are asked for."""
    about_status = any(field.name == "status" and field.kind == "text" for field in nodes.fields(wanted))
    if deleted or about_status:
        return condition
    # Not "= Active": nearly all are, and no database shall think of beginning with an index on that.
    return and_(condition, FOUND.c.status.not_in(on_branch.GONE))


def _about(mine: list[Member]) -> Any:
    """A condition that holds for all members, and for few others: the database finds an index for it."""
    top = max((member.place for member in mine), default=0)
    return and_(FOUND.c.line.in_(sorted({member.line for member in mine})), FOUND.c.place <= top)


def _is_in_order(asked: Expression, keys: order.Order) -> bool:
    """Whether an index has exactly what is asked for, in the order of the answer."""
    parts = list(search_few.parts_of(asked))
    if not parts:
        return True
    one = parts[0]
    single = len(parts) == 1 and isinstance(one, nodes.Compare) and one.sign == "="
    return single and not keys.keys and nodes.field_of(one) in _IN_ORDER


def _rows(
    connection: Connection,
    parts: list[Phase],
    condition: Any,
    after: _Cursor | None,
    wanted: int,
    among: Collection[int] | None = None,
    *,
    little: bool,
) -> list[tuple[int, Any]]:
    """Up to ``wanted`` rows, each with the number of its phase; only those whose places are ``among`` these."""
    found: list[tuple[int, Any]] = []
    for number, phase in enumerate(parts):
        if not phase.possible or (after is not None and number < after.phase):
            continue
        here = (after.values, after.place) if after is not None and after.phase == number else None
        while len(found) < wanted:
            size = wanted - len(found) if among is None else LONGEST_PAGE
            rows = list(connection.execute(phase.statement(condition, here, little=little).limit(size)))
            found += [(number, row) for row in rows if among is None or row[0] in among]
            if len(rows) < size:
                break
            here = tuple(rows[-1][2:]), rows[-1][0]
    return found[:wanted]


class _Below(msgspec.Struct, frozen=True, array_like=True):
    """Where a page of a branch begins: of which question, the revision that its line goes on from, and the place below
    which it does.
    """

    question: str
    start: bytes
    place: int


def _of_branch(
    catalog: Catalog, number: int, branch: Standing, question: str, cursor: str | None, limit: int, *, deleted: bool
) -> Page:  # fmt: skip
    """A page of a branch, newest first: takes time in proportion to the page."""
    begin = None if cursor is None else _decoded(cursor, _Below)
    if begin is not None and (begin.question != question or len(begin.start) not in (0, 32)):
        raise UsageError("the cursor belongs to another filter or order", hint="begin with the first page")
    start = begin.start if begin is not None else None
    at = start or branch.head or b""
    found: list[Member] = []
    with catalog.reading() as connection:
        if start and not _lines(connection, number).history.versions([start]):
            raise UsageError("the cursor is none", hint="take it from the page before")
        for member in on_branch.members(connection, number, branch, start):
            if begin is not None and member.place >= begin.place:
                continue
            if deleted or not member.gone:
                if len(found) == limit:
                    break
                found.append(member)
            at = member.at or at
        else:
            limit = 0  # nothing is left
        infos = _infos(connection, number, [member.first for member in found])
    more = _Below(question, at, found[-1].place) if limit else None
    return Page(infos, None if more is None else _encoded(more))


class _Snapshot:
    """Stands for a catalog from which a history reads: all in one transaction, so of one moment and in fewer trips."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        yield self._connection


class _Remembering(CatalogHistory):
    """A history that reads each version once."""

    def __init__(self, connection: Connection, number: int) -> None:
        super().__init__(cast("Catalog", _Snapshot(connection)), number)
        self._known: dict[bytes, VersionRow] = {}

    def versions(self, ids: Sequence[bytes]) -> dict[bytes, VersionRow]:
        """The rows of ``ids`` that exist."""
        self._known |= super().versions([one for one in ids if one not in self._known])
        return {one: self._known[one] for one in ids if one in self._known}


def _lines(connection: Connection, number: int) -> Lines:
    return Lines(_Remembering(connection, number))


def _infos(connection: Connection, number: int, firsts: list[bytes]) -> tuple[VersionInfo, ...]:
    lines = _lines(connection, number)
    rows = lines.history.versions(firsts)
    return tuple(listing.infos(lines, [rows[first] for first in firsts], None))


def _question(filter_: str, order_by: str, branch: str | None, deleted: bool) -> str:
    said = msgspec.json.encode([filter_, order_by, branch, deleted])
    return hashlib.sha256(said).hexdigest()[:16]


def _write(question: str, phase: int, row: Any) -> str:
    return _encoded(_Cursor(question, phase, tuple(row[2:]), row[0]))


def _encoded(cursor: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read(cursor: str, question: str, parts: list[Phase]) -> _Cursor:
    """A cursor that fits the question; anybody may have written it, so that all of it is looked at."""
    found = _decoded(cursor, _Cursor)
    if found.question != question or not _fits(found, parts):
        raise UsageError("the cursor belongs to another filter or order", hint="begin with the first page")
    return found


def _decoded(cursor: str, kind: type[T]) -> T:
    try:
        packed = base64.urlsafe_b64decode(
            cursor[:_LONGEST_CURSOR].encode("ascii") + b"=" * (-len(cursor) % 4)
        )
        return msgspec.json.decode(packed, type=ready(kind))
    except (ValueError, msgspec.MsgspecError):
        raise UsageError("the cursor is none", hint="take it from the page before") from None


def _fits(cursor: _Cursor, parts: list[Phase]) -> bool:
    if not 0 <= cursor.phase < len(parts) or not abs(cursor.place) < 1 << 63:
        return False
    columns = parts[cursor.phase].columns
    if len(columns) != len(cursor.values):
        return False
    for column, value in zip(columns, cursor.values, strict=True):
        if value is None and column.nullable:
            continue
        if column.kind is float and isinstance(value, int | float):
            continue
        if type(value) is not column.kind or (isinstance(value, int) and not abs(value) < 1 << 63):
            return False
    return True
