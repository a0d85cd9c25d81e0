"""The version index gives the answers that reading every version gives, on every database."""

from __future__ import annotations

import base64
import itertools
import secrets
from collections.abc import Callable, Iterator

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lepton_ai import wire
from lepton_ai.catalog import hooks, repositories, search, search_few, search_index, search_pages
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.catalog.search_conditions import plain
from lepton_ai.errors import Damaged, UsageError
from lepton_ai.history import finding
from lepton_ai.history.filters import grammar
from lepton_ai.history.lines import Lines
from lepton_ai.history.refs.memory import MemoryHistory
from tests.catalog.shelves import Shelf, world

Both = tuple[Catalog, int, Lines]

TEXT_FIELDS = ["name", "branch", "author", "message", "status", "tag", "alias", "params.p", "id"]
NUMBERS = [
    "0.5",
    "0",
    "0.30000000000000004",
    "1e308",
    "-1",
    "1",
    "2",
    "9223372036854775808",
    "5e-300",
    "0.25",
]
NUMBER_FIELDS = [
    "metrics.a", "metrics.b", 'metrics."val acc"', "metrics.A", "params.p", "params.p.q", "size", "revision",
]  # fmt: skip
OTHERS = [
    "EXISTS metrics.a", "metrics.nope IS NULL", "EXISTS params.p", "params.p = true", "params.p IN (1, '1', 0.5)",
    "created IN (2026-11-20, 2026-11-22)", "metrics.a IN (0.5, -0.0)", "size IN (1, 2)", "params.p NOT IN (1, 'x')",
]  # fmt: skip
TEXTS = [
    "v1", "V1", "main", "feature/a", "renamed", "old", "ada", "ada ", "Zoë", "ZOË", "李", "a", "Active", "retrained",
    "MORE", "100%", "line\nbreak", "gold", "production", "Production", "rc_1", "1", "true", "x", "x ", "strasse",
    "Straße", "a%b_c", "a\\b|c", "[a]", "ß", "END", "[1,\"x\"]", "deleted", "_", "\\",
]  # fmt: skip
PATTERNS = [
    "%",
    "v_",
    "v1%",
    "%a%",
    "_da",
    "%\nb%",
    "a%b_c",
    "a\\%",
    "%|c",
    "[a]%",
    "a__%",
    "%DA",
    "A%",
    "ß%",
    "%_%d",
    "李",
]
TIMES = [
    "2026-11-20",
    "2026-11-21",
    "'2026-11-20T10:00'",
    "2026-11-20T23:00:00Z",
    "now() - 1d",
    "'2026-11-21 05:00:00.5'",
]
SIGNS = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def texts_for(field: str) -> st.SearchStrategy[str]:
    return st.sampled_from(["Active", "Deleted", "purged"] if field == "status" else TEXTS).map(quoted)


def text_conditions(field: str) -> st.SearchStrategy[str]:
    return st.one_of(
        st.builds(lambda sign, text: f"{field} {sign} {text}", st.sampled_from(["=", "!="]), texts_for(field)),
        st.builds(
            lambda word, some: f"{field} {word} ({', '.join(some)})", st.sampled_from(["IN", "NOT IN"]),
            st.lists(texts_for(field), min_size=1, max_size=3),
        ),
        st.sampled_from(TEXTS).map(lambda text: f"{field} ~ {quoted(text)}"),
        st.builds(
            lambda word, text: f"{field} {word} {quoted(text)}", st.sampled_from(["LIKE", "NOT LIKE"]),
            st.sampled_from(PATTERNS),
        ),
        st.sampled_from(["IS NULL", "IS NOT NULL"]).map(lambda word: f"{field} {word}"),
    )  # fmt: skip


CONDITIONS = st.one_of(
    st.sampled_from(TEXT_FIELDS).flatmap(text_conditions),
    st.builds(
        lambda *parts: " ".join(parts), st.sampled_from(NUMBER_FIELDS), SIGNS, st.sampled_from(NUMBERS)
    ),
    st.builds(
        lambda *parts: " ".join(parts), st.sampled_from(["created", "updated"]), SIGNS, st.sampled_from(TIMES)
    ),
    st.sampled_from(OTHERS),
)
FILTERS = st.recursive(
    CONDITIONS,
    lambda inner: st.one_of(
        inner.map(lambda text: f"NOT ({text})"),
        st.builds(
            lambda word, parts: f"({f' {word} '.join(parts)})", st.sampled_from(["AND", "OR"]),
            st.lists(inner, min_size=2, max_size=3),
        ),
    ),
    max_leaves=6,
)  # fmt: skip
KEYS = [
    "metrics.a", "metrics.b", "metrics.nope", "params.p", "name", "branch", "author", "status", "created",
    "updated", "revision", "size", "id", "content",
]  # fmt: skip
ORDERS = st.lists(st.sampled_from(KEYS), unique=True, max_size=3).flatmap(
    lambda keys: st.tuples(*(st.sampled_from([f"{key}", f"{key} DESC"]) for key in keys)).map(", ".join)
)


@pytest.fixture(scope="module")
def catalog(shared: Catalog) -> Iterator[Catalog]:
    """The same database, seen by a catalog that keeps the version index and the events."""
    made = hooks.attach(Catalog(shared.url.render_as_string(hide_password=False)))
    yield made
    made.close()


@pytest.fixture(scope="module")
def both(catalog: Catalog) -> Both:
    """The same versions in the catalog, with its index, and in memory."""
    row = repositories.create(catalog, wire.NewRepository("ada", f"searched-{secrets.token_hex(8)}"), "ada")
    memory = MemoryHistory()
    world(Shelf(CatalogHistory(catalog, row.number), memory))
    return catalog, row.number, Lines(memory)


def by_index(both: Both, where: str, order_by: str, *, deleted: bool, page: int = 1000) -> list[str]:
    found, cursor = [], None
    for _ in range(100):
        got = search.versions(both[0], both[1], where, order_by, cursor, page, deleted=deleted)
        found += [info.id for info in got.versions]
        cursor = got.next
        if cursor is None:
            return found
        assert len(got.versions) == page
    raise AssertionError("pages without an end")


def by_reading(both: Both, where: str, order_by: str, *, deleted: bool) -> list[str]:
    found = [info.id for info in finding.versions(both[2], None, where, order_by, deleted=deleted)]
    return found if order_by else found[::-1]


MOST = st.sampled_from([search_few.MOST, 3, 0])
"""How narrow a condition must be for the search to begin there: always, seldom, never."""
STEPS = st.sampled_from([250, 7, 1])
"""How many versions are looked at before it is counted further: all, some, one."""
ASKED = given(where=FILTERS, order_by=ORDERS, most=MOST, steps=STEPS, deleted=st.booleans())


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@ASKED
def test_the_index_and_reading_give_the_same(
    both: Both, where: str, order_by: str, most: int, steps: int, deleted: bool
) -> None:
    _same(both, where, order_by, most, steps, deleted=deleted)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@ASKED
def test_the_index_and_reading_give_the_same_always(
    both: Both, where: str, order_by: str, most: int, steps: int, deleted: bool
) -> None:
    _same(both, where, order_by, most, steps, deleted=deleted)


def _same(both: Both, where: str, order_by: str, most: int, steps: int, *, deleted: bool) -> None:
    expected = by_reading(both, where, order_by, deleted=deleted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(search_few, "MOST", most)
        patch.setattr(search_few, "LACKING", steps)
        patch.setattr(
            search_pages, "STEPS", dict.fromkeys(("sqlite", "postgresql", "mariadb", "mysql"), steps)
        )
        assert by_index(both, where, order_by, deleted=deleted, page=1000 if most else 17) == expected
    if expected:
        assert search.count(both[0], both[1], where, deleted=deleted) == len(expected)


@pytest.mark.parametrize(
    ("where", "beginnings"),
    [
        ("metrics.a > 0.4 AND author = 'ada'", 1),
        ("metrics.a > 0.4 AND metrics.a < 0.6", 1),
        ("(tag = 'gold' OR metrics.b > 1) AND NOT author = 'x'", 2),
        ("created > 2026-11-20 AND size > 1", 1),
        ("branch = 'renamed' AND message ~ 'm'", 1),
        ("EXISTS metrics.b", 1),
        ("name LIKE 'v1%'", 1),
        ("author = 'nobody' AND metrics.a > 0", 0),
        ("author = 'nobody' OR tag = 'nothing'", 0),
        ("params.p != 1", None),
        ("tag != 'gold' AND message ~ 'm'", None),
        ("metrics.a > 0 OR message ~ 'm'", None),
        ("NOT metrics.a > 0", None),
        ("params.p IN (1, 'x')", None),
        ("size > 1", None),
        ("", None),
        (" AND ".join(f"metrics.m{n} > 0" for n in range(30)), None),
    ],
)
def test_a_search_begins_at_the_narrowest_condition(both: Both, where: str, beginnings: int | None) -> None:
    catalog, number, _ = both
    with catalog.reading() as connection:
        found = search_few.few(connection, number, plain(grammar.parse(where)), catalog.engine.dialect.name)
        assert (None if found is None else len(found.queries)) == beginnings
        if found is not None:
            places = {row[0] for query in found.queries for row in connection.execute(query)}
            answer = search.versions(catalog, number, where, deleted=True, limit=1000).versions
            assert len({info.id for info in answer}) <= len(places)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(where=st.just("") | FILTERS, order_by=ORDERS, page=st.integers(1, 9))
def test_pages_put_together_are_the_whole(both: Both, where: str, order_by: str, page: int) -> None:
    whole = by_index(both, where, order_by, deleted=True)
    assert by_index(both, where, order_by, deleted=True, page=page) == whole


@pytest.mark.parametrize("direction", ["", " DESC"])
def test_every_order_of_everything(both: Both, direction: str) -> None:
    for key in KEYS:
        whole = by_reading(both, "", key + direction, deleted=True)
        assert by_index(both, "", key + direction, deleted=True, page=31) == whole


def test_a_line_of_the_index_is_a_line_of_the_list(both: Both) -> None:
    catalog, number, lines = both
    got = search.versions(catalog, number, limit=1000).versions
    assert list(got) == finding.versions(lines, None)[::-1]


def test_deleted_ones_are_left_out_unless_asked_for(both: Both) -> None:
    catalog, number, _ = both
    found = search.versions(catalog, number, "status != 'Active'", limit=1000).versions
    assert sorted(info.status for info in found) == ["Deleted", "Deleted", "Purged"]
    assert search.count(catalog, number) == 57
    assert search.count(catalog, number, deleted=True) == 60


def test_a_rebuilt_index_is_the_same(both: Both) -> None:
    catalog, number, _ = both
    questions = [
        "",
        "metrics.a > 0",
        "tag = 'gold' OR alias ~ 'PROD'",
        "branch = 'renamed'",
        "params.p ~ 's'",
    ]
    before = [by_index(both, text, "metrics.a, updated", deleted=True) for text in questions]
    assert search_index.rebuild(catalog, number) == 60
    assert [by_index(both, text, "metrics.a, updated", deleted=True) for text in questions] == before
    assert all(before)


@pytest.fixture
def shelf(catalog: Catalog, repository: repositories.Row) -> Shelf:
    made = Shelf(CatalogHistory(catalog, repository.number))
    made.branch("u1", "main")
    return made


@pytest.mark.parametrize("order_by", ["", "metrics.a", "metrics.a DESC", "created", "name DESC"])
def test_what_is_saved_meanwhile_neither_doubles_nor_hides(
    catalog: Catalog, repository: repositories.Row, shelf: Shelf, order_by: str
) -> None:
    for number in range(20):
        shelf.version(f"v{number}", metrics={"a": number % 4} if number % 5 else None)
    before = {info.id for info in search.versions(catalog, repository.number, limit=1000).versions}
    seen: list[str] = []
    cursor = None
    for turn in itertools.count():
        got = search.versions(catalog, repository.number, "", order_by, cursor, 3)
        seen += [info.id for info in got.versions]
        cursor = got.next
        if cursor is None:
            break
        shelf.version(f"new{turn}", metrics={"a": turn % 4} if turn % 2 else None)
    assert len(seen) == len(set(seen))
    assert before <= set(seen)


def forged(change: Callable[[list[object]], object]) -> Callable[[str], str]:
    def forge(cursor: str) -> str:
        parts = msgspec.json.decode(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        made = change(parts)
        return (
            base64.urlsafe_b64encode(msgspec.json.encode(parts if made is None else made))
            .decode()
            .rstrip("=")
        )

    return forge


@pytest.mark.parametrize(
    "forge",
    [
        lambda _: "", lambda _: "!!!", lambda _: "ü", lambda c: c[:-3], lambda c: c * 2000, forged(lambda _: {}),
        forged(lambda p: p.__setitem__(0, "x")), forged(lambda p: p.__setitem__(1, 7)),
        forged(lambda p: p.__setitem__(1, [])), forged(lambda p: p.__setitem__(1, [1, 2])),
        forged(lambda p: p.__setitem__(1, ["1' OR 1=1"])), forged(lambda p: p.__setitem__(1, [True])),
        forged(lambda p: p.__setitem__(2, 1 << 70)), forged(lambda p: p.__setitem__(2, "1")),
        forged(lambda p: p.__setitem__(2, None)),
    ],
)  # fmt: skip
def test_forged_cursors_are_refused(both: Both, forge: Callable[[str], str]) -> None:
    catalog, number, _ = both
    cursor = search.versions(catalog, number, "", "metrics.a", limit=2).next
    assert cursor is not None
    assert search.versions(catalog, number, "", "metrics.a", cursor, 2).versions
    with pytest.raises(UsageError, match="cursor"):
        search.versions(catalog, number, "", "metrics.a", forge(cursor), 2)


def test_a_cursor_belongs_to_its_question(both: Both) -> None:
    catalog, number, _ = both
    cursor = search.versions(catalog, number, limit=2).next
    for where, order_by in (("size > 0", ""), ("", "name")):
        with pytest.raises(UsageError, match="another filter"):
            search.versions(catalog, number, where, order_by, cursor)
    for limit in (0, 1001):
        with pytest.raises(UsageError):
            search.versions(catalog, number, limit=limit)


def test_other_repositories_are_never_found(
    catalog: Catalog, both: Both, shelf: Shelf, repository: repositories.Row
) -> None:
    shelf.version("v1", metrics={"a": 0.5}, params={"p": "x"})
    for where in (
        "",
        "metrics.a = 0.5",
        "params.p = 'x'",
        "branch = 'main'",
        "NOT tag = 'gold'",
        "tag IS NULL",
    ):
        assert len(search.versions(catalog, repository.number, where).versions) == 1
    assert search.versions(catalog, repository.number, "tag = 'gold' OR branch = 'feature/a'").versions == ()


def test_what_nobody_could_look_up_is_refused(
    catalog: Catalog, repository: repositories.Row, shelf: Shelf
) -> None:
    row, state = shelf.made("v1", "u1")
    with pytest.raises(Damaged):
        shelf.set(f"version/{row.first.hex()}", state)
    assert shelf.stamp(f"version/{row.first.hex()}") == 0, "the commit did not happen"
