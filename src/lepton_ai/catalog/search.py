"""Find a repository's versions by a filter, in an order, a page at a time."""

from __future__ import annotations

import base64
import hashlib
from typing import TypeVar

import msgspec
from sqlalchemy import and_, func, select
from sqlalchemy.engine import Connection

from lepton_ai.catalog import branch_line, on_branch
from lepton_ai.catalog.as_written import in_steps
from lepton_ai.catalog.branch_line import Line
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.on_branch import Member, Standing
from lepton_ai.catalog.one_moment import MomentHistory
from lepton_ai.catalog.search_conditions import Conditions, plain
from lepton_ai.catalog.search_orders import Column, Sorted, columns
from lepton_ai.catalog.search_pages import Asked, Pages, Position, Row
from lepton_ai.catalog.tables.search import FOUND
from lepton_ai.decodable import ready
from lepton_ai.errors import UsageError
from lepton_ai.history import listing
from lepton_ai.history.filters import grammar, nodes, order
from lepton_ai.history.filters.nodes import Expression
from lepton_ai.history.lines import Lines
from lepton_ai.types import VersionInfo

T = TypeVar("T")
LONGEST_PAGE = 1000
_LONGEST_CURSOR = 10_000


class Page(msgspec.Struct, frozen=True):
    """Versions in order; ``next`` is the cursor of the page behind, None when this was the last."""

    versions: tuple[VersionInfo, ...]
    next: str | None


class _Cursor(msgspec.Struct, frozen=True, array_like=True):
    """The last version of a page: of which question, what it has in the columns of the order, and its place."""

    question: str
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

    With ``branch`` only those that it has, as ``lepton versions -b`` lists them. Deleted ones are among them with
    ``deleted``, or when the filter says something about the status. What is saved while somebody turns pages neither
    doubles nor hides anything else.

    Raises:
        UsageError: the filter or the order cannot be read (says the column), or the cursor is of another question.
    """
    if not 1 <= limit <= LONGEST_PAGE:
        raise UsageError(f"a page has 1 to {LONGEST_PAGE} versions, not {limit}")
    wanted, keys = grammar.parse(filter), order.parse(order_by)
    question = _question(filter, order_by, branch.uid if branch is not None else None, deleted)
    if branch is not None and not filter.strip() and not order_by.strip():
        return _of_branch(catalog, number, branch, question, cursor, limit, deleted=deleted)
    asked, living = Asked(plain(wanted)), not deleted and not _about_status(wanted)
    after = None if cursor is None else _read(cursor, question, keys)
    with catalog.reading() as connection:
        in_steps(connection)
        if branch is None:
            found = Pages(connection, number, living=living).page(asked, keys, after, limit + 1)
        else:
            line = Line(connection, number, branch)
            found = _on_line(connection, number, line, asked, keys, after, limit + 1, living=living)
        infos = _infos(connection, number, [row.first for row in found[:limit]])
    last = found[limit - 1] if len(found) > limit else None
    more = None if last is None else _encoded(_Cursor(question, last.values, last.place))
    return Page(infos, more)


def _on_line(
    connection: Connection,
    number: int,
    line: Line,
    asked: Asked,
    keys: order.Order,
    after: Position | None,
    count: int,
    *,
    living: bool,
) -> list[Row]:
    """Of the versions that fit those that a branch has. A short one is listed first; of a long one it is asked whether
    it has what was found.
    """
    places = [member.place for member in line.members()] if line.short else None
    if places is not None and len(places) <= 2 * branch_line.SHORT:
        pages = Pages(connection, number, living=living, places=places)
        return pages.page(asked, keys, after, count) if places else []
    pages = Pages(connection, number, living=living)
    found: list[Row] = []
    size = count
    while True:
        rows = pages.page(asked, keys, after, size)
        has = line.has([(row.place, row.first) for row in rows])
        found += [row for row in rows if row.place in has]
        if len(rows) < size or len(found) >= count:
            return found[:count]
        after, size = Position(rows[-1].values, rows[-1].place), min(LONGEST_PAGE, 4 * size)


def count(catalog: Catalog, number: int, filter: str = "", *, deleted: bool = False) -> int:  # noqa: A002
    """How many versions fit: takes time in proportion to the repository.

    Raises:
        UsageError: the filter cannot be read.
    """
    wanted = grammar.parse(filter)
    condition = Conditions(number, catalog.engine.dialect.name).of(plain(wanted))
    if not deleted and not _about_status(wanted):
        condition = and_(condition, FOUND.c.status.not_in(on_branch.GONE))
    query = select(func.count()).select_from(FOUND).where(FOUND.c.repository == number, condition)
    with catalog.reading() as connection:
        return int(connection.execute(query).scalar_one())


def _about_status(wanted: Expression) -> bool:
    return any(field.name == "status" and field.kind == "text" for field in nodes.fields(wanted))


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
        in_steps(connection)
        if start and not _lines(connection, number).history.versions([start]):
            raise UsageError("the cursor is none", hint="take it from the page before")
        for member in on_branch.members(connection, number, branch, start, limit + 1):
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


def _lines(connection: Connection, number: int) -> Lines:
    return Lines(MomentHistory(connection, number))


def _infos(connection: Connection, number: int, firsts: list[bytes]) -> tuple[VersionInfo, ...]:
    lines = _lines(connection, number)
    rows = lines.history.versions(firsts)
    return tuple(listing.infos(lines, [rows[first] for first in firsts], None))


def _question(filter_: str, order_by: str, branch: str | None, deleted: bool) -> str:
    said = msgspec.json.encode([filter_, order_by, branch, deleted])
    return hashlib.sha256(said).hexdigest()[:16]


def _encoded(cursor: msgspec.Struct) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(cursor)).decode().rstrip("=")


def _read(cursor: str, question: str, keys: order.Order) -> Position:
    """Where a page begins; anybody may have written the cursor, so that all of it is looked at."""
    found = _decoded(cursor, _Cursor)
    if found.question != question or not _fits(found, columns(0, keys)):
        raise UsageError("the cursor belongs to another filter or order", hint="begin with the first page")
    return Position(found.values, found.place)


def _decoded(cursor: str, kind: type[T]) -> T:
    try:
        packed = base64.urlsafe_b64decode(
            cursor[:_LONGEST_CURSOR].encode("ascii") + b"=" * (-len(cursor) % 4)
        )
        return msgspec.json.decode(packed, type=ready(kind))
    except (ValueError, msgspec.MsgspecError):
        raise UsageError("the cursor is none", hint="take it from the page before") from None


def _fits(cursor: _Cursor, wanted: list[Column]) -> bool:
    if not abs(cursor.place) < 1 << 63 or len(wanted) != len(cursor.values):
        return False
    for column, value in zip(wanted, cursor.values, strict=True):
        if value is None and column.nullable:
            continue
        if column.kind is float and isinstance(value, int | float):
            continue
        if type(value) is not column.kind or (isinstance(value, int) and not abs(value) < 1 << 63):
            return False
    return True
