"""What the filter language and the orders understand, and how they refuse the rest."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import UsageError
from lepton_ai.history.filters import grammar, order
from lepton_ai.history.filters.nodes import (
    EVERYTHING,
    Among,
    Compare,
    Contains,
    Either,
    Every,
    Exists,
    Expression,
    Field,
    Like,
    Not,
    Span,
    fields,
)
from lepton_ai.history.filters.order import Key, Order

NOW = 1_795_132_800_000_000  # 2026-11-20
DAY = 86_400_000_000
ACCURACY = Field("metric", "accuracy")
NAME, AUTHOR, TAG = Field("text", "name"), Field("text", "author"), Field("words", "tag")
CREATED, RATE = Field("time", "created"), Field("param", "lr")

READ: dict[str, Expression] = {
    "": EVERYTHING,
    "  \n ": EVERYTHING,
    "metrics.accuracy > 0.9": Compare(ACCURACY, ">", 0.9),
    "METRICS.accuracy>=-1e-3": Compare(ACCURACY, ">=", -0.001),
    "metrics.accuracy <> .5": Compare(ACCURACY, "!=", 0.5),
    "metrics.accuracy == 1": Compare(ACCURACY, "=", 1.0),
    'metrics."val acc" < 1': Compare(Field("metric", "val acc"), "<", 1.0),
    'metrics."say ""hi""" < 1': Compare(Field("metric", 'say "hi"'), "<", 1.0),
    "params.`a b` = 'x'": Compare(Field("param", "a b"), "=", "x"),
    "params.optimizer.lr = 1": Compare(Field("param", "optimizer.lr"), "=", 1.0),
    "metrics.val/top-1 = 1": Compare(Field("metric", "val/top-1"), "=", 1.0),
    "metrics.and = 1": Compare(Field("metric", "and"), "=", 1.0),
    "params.лр = 1": Compare(Field("param", "лр"), "=", 1.0),
    "params.lr = true": Compare(RATE, "=", "true"),
    "params.lr in (0.1, 'auto')": Among(RATE, (0.1, "auto")),
    "name = 'it''s'": Compare(NAME, "=", "it's"),
    'name = "v1"': Compare(NAME, "=", "v1"),
    "name not in ('a')": Every((Exists(NAME), Not(Among(NAME, ("a",))))),
    "tag not in ('a')": Not(Among(TAG, ("a",))),
    "name like 'v%'": Like(NAME, "v%"),
    "message ~ 'x'": Contains(Field("text", "message"), "x"),
    "tag is null": Not(Exists(TAG)),
    "tag IS NOT NULL": Exists(TAG),
    "exists metrics.accuracy": Exists(ACCURACY),
    "status = 'active'": Compare(Field("text", "status"), "=", "Active"),
    "created = 2026-11-20": Compare(CREATED, "=", Span(NOW, NOW + DAY)),
    "created = '2026-11-20 00:01'": Compare(CREATED, "=", Span(NOW + 60_000_000, NOW + 120_000_000)),
    "created = 2026-11-20T00:00:01Z": Compare(CREATED, "=", Span(NOW + 1_000_000, NOW + 2_000_000)),
    "created = 2026-11-20T02:00:00.25+02:00": Compare(CREATED, "=", Span(NOW + 250_000, NOW + 260_000)),
    "created > now()": Compare(CREATED, ">", Span(NOW, NOW + 1)),
    "created > now()-2d": Compare(CREATED, ">", Span(NOW - 2 * DAY, NOW - 2 * DAY + 1)),
    "created < NOW ( ) + 1w": Compare(CREATED, "<", Span(NOW + 7 * DAY, NOW + 7 * DAY + 1)),
    "size in (1, 2)": Among(Field("number", "size"), (1.0, 2.0)),
    "name='a' or name='b' and not tag='c'": Either(
        (Compare(NAME, "=", "a"), Every((Compare(NAME, "=", "b"), Not(Compare(TAG, "=", "c")))))
    ),
    "(name='a' or name='b') AND tag='c'": Every(
        (Either((Compare(NAME, "=", "a"), Compare(NAME, "=", "b"))), Compare(TAG, "=", "c"))
    ),
}

REFUSED = {
    "metrics.accuracy >": (19, "a number"),
    "metrics.accuracy > 'x'": (20, "a number"),
    "metrics.accuracy ~ 'x'": (20, "a comparison"),
    "metrics = 1": (1, "a field"),
    "foo = 1": (1, "a field"),
    "name > 'x'": (8, "a number after >"),
    "name = x": (8, "a text in quotes"),
    "(name = 'x'": (12, "')'"),
    "name = 'x')": (11, "AND, OR or the end"),
    "name = 'x": (8, "never closed"),
    "name = 'x' name": (12, "AND, OR or the end"),
    "name": (5, "~, IN, LIKE or IS"),
    "name not = 'x'": (10, "IN or LIKE"),
    "name ! 'x'": (6, "cannot be read"),
    "name in ()": (10, "a text"),
    "name in ('a' 'b')": (14, "')'"),
    "name like ''": (11, "not empty"),
    "name like '%%%%%%%%%%%'": (11, "at most 10"),
    "name is 3": (9, "NULL"),
    "created > 2026-13-01": (11, "a time"),
    "created > '20261120'": (11, "a time"),
    "created > now() - 7": (19, "a span"),
    "created > now( - 7d": (16, "')'"),
    "status = 'x'": (10, "Active, Deleted, Purged"),
    "metrics.accuracy = 1e999": (20, "1.7e308"),
    "size = 12d": (8, "a number"),
    "not": (4, "a field"),
    "(" * 50 + "name = 'x'" + ")" * 50: (34, "inside one another"),
    "not " * 5000: (None, "letters"),
    "not " * 2000 + "name = 'x'": (133, "inside one another"),
    "name in (" + ",".join(["'a'"] * 300) + ")": (810, "more than 200"),
    " or ".join(["size=1"] * 300): (None, "more than 200"),
    "name = 'a\0b'": (None, "Unicode"),
    "name = '\ud800'": (None, "Unicode"),
}


@pytest.mark.parametrize("text", READ)
def test_a_filter_is_read(text: str) -> None:
    assert grammar.parse(text, now=NOW) == READ[text]


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_a_wrong_filter_is_refused_with_its_column(text: str) -> None:
    column, expected = REFUSED[text]
    with pytest.raises(UsageError) as refused:
        grammar.parse(text)
    assert expected in refused.value.message
    assert column is None or f"column {column}:" in refused.value.message
    assert len(str(refused.value)) < 400


def test_now_is_the_present() -> None:
    condition = grammar.parse("created < now()")
    assert isinstance(condition, Compare)
    assert isinstance(condition.value, Span)
    assert condition.value.start > 1_700_000_000_000_000


def test_what_a_filter_looks_at() -> None:
    found = fields(grammar.parse("not (name = 'a' or metrics.x > 1) and tag is null"))
    assert {str(field) for field in found} == {"name", "metrics.x", "tag"}


WORDS = [*"()'\"=<>~.,- ", "and ", "name", "tag", "metrics.a", "1", "2026-11-20", "not ", "in", "DESC"]


@given(st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
def test_whatever_is_written_is_read_or_refused_plainly(text: str) -> None:
    for parse, what in ((grammar.parse, "filter"), (order.parse, "order")):
        try:
            parse(text)
        except UsageError as refused:
            place = re.match(rf"{what}, column (\d+): ", refused.message)
            assert place is not None
            assert 1 <= int(place[1]) <= len(text) + 1


def test_orders_are_read() -> None:
    loss = Field("metric", "loss")
    assert order.parse(" ") == Order((), newest_first=True)
    assert order.parse("metrics.loss") == Order((Key(loss, descending=False),), newest_first=False)
    assert order.parse("metrics.loss DESC") == Order((Key(loss, descending=True),), newest_first=True)
    assert order.parse("created desc, metrics.loss asc") == Order(
        (Key(CREATED, descending=True), Key(loss, descending=False)), newest_first=False
    )


@pytest.mark.parametrize(
    ("text", "place"),
    {
        "tag": 1,
        "size, message": 7,
        "name name": 6,
        "name,": 6,
        "name, name": 7,
        "name desc asc": 11,
        "size,name,author,id,status,created": 27,
    }.items(),
)
def test_wrong_orders_are_refused_with_their_column(text: str, place: int) -> None:
    with pytest.raises(UsageError, match=f"order, column {place}:"):
        order.parse(text)
