"""Which versions a filter lets through, and in which order they come."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from lepton_ai.history import states
from lepton_ai.history.filters import facts, grammar, judge, order
from lepton_ai.history.filters.facts import Facts
from lepton_ai.types import FileEntry, Operation, Record

NOON = 1_795_176_000_000_000  # 2026-11-20T12:00:00Z
BASE = Facts(
    place=1, name="v1", branch="main", author="Zoë Straße", message="Retrained on MORE data\nline two", status="Active",
    id="ab" * 32, content="cd" * 32, created=NOON, updated=NOON + 5, revision=2, size=100,
    metrics={"accuracy": 0.95, "broken": math.nan}, params={"lr": 0.001, "optimizer": "adam", "augment": "true"},
    tag=("release", "gold"), alias=(),
)  # fmt: skip

TRUE = [
    "", "name = 'v1'", "name != 'v2'", "name IN ('v0', 'v1')", "name NOT IN ('v2')", "name LIKE 'v_'", "name LIKE 'v%'",
    "author ~ 'STRASSE'", "author ~ 'zoë'", "message ~ 'more'", "message LIKE '%MORE%two'", "NOT message LIKE '%more%'",
    "metrics.accuracy > 0.9", "metrics.accuracy = 0.95", "metrics.accuracy <= 0.95", "metrics.accuracy != 1",
    "EXISTS metrics.broken", "NOT metrics.broken > 0", "NOT metrics.broken != 0", "metrics.loss IS NULL",
    "NOT metrics.loss != 1", "params.lr < 0.01", "params.lr != 'auto'", "params.optimizer = 'adam'",
    "params.optimizer != 3",
    "params.augment = true", "params.optimizer ~ 'DA'", "NOT params.lr ~ '0'", "NOT params.optimizer < 5",
    "tag = 'gold'", "tag != 'silver'", "NOT tag != 'gold'", "tag IN ('gold')", "tag NOT IN ('x')", "tag ~ 'RELE'",
    "alias IS NULL", "alias != 'production'", "alias NOT IN ('production')", "NOT alias NOT IN ('x') OR alias IS NULL",
    "created = 2026-11-20", "created >= 2026-11-20", "created <= 2026-11-20", "NOT created > 2026-11-20",
    "NOT created < 2026-11-20", "created != 2026-11-21", "created > 2026-11-20T11:59", "NOT created > 2026-11-20T12:00",
    "created = 2026-11-20T14:00+02:00", "created IN (2026-11-19, 2026-11-20)", "updated > 2026-11-01",

    "revision = 2 AND size < 101", "status = 'active'", "branch = 'main' AND (size = 1 OR size = 100)",
]  # fmt: skip


@pytest.mark.parametrize("text", TRUE)
def test_a_filter_and_its_negation(text: str) -> None:
    assert judge.fits(grammar.parse(text), BASE)
    if text:
        assert not judge.fits(grammar.parse(f"NOT ({text})"), BASE)


@given(st.text(alphabet="ab\n_", max_size=12), st.text(alphabet="ab\n_%", min_size=1, max_size=8))
def test_like_is_what_a_regular_expression_says(text: str, pattern: str) -> None:
    parts = [{"%": ".*", "_": "."}.get(letter, re.escape(letter)) for letter in pattern]
    assert judge.like(text, pattern) == bool(re.fullmatch("".join(parts), text, re.DOTALL))


def test_a_hostile_pattern_takes_no_time() -> None:
    text = "a" * 1000 + "b"
    assert not judge.like(text, "%a" * 10 + "c")


def test_what_is_missing_comes_last_in_either_direction() -> None:
    values: dict[str, dict[str, float]] = {
        "a": {"x": 2.0},
        "b": {"x": 1.0},
        "c": {},
        "d": {"x": math.nan},
        "e": {"x": 1.0},
    }
    versions = [
        replace(BASE, place=place, name=name, metrics=m) for place, (name, m) in enumerate(values.items())
    ]
    names = {
        text: "".join(version.name for version in order.ordered(versions, order.parse(text)))
        for text in ("", "created", "metrics.x", "metrics.x DESC", "metrics.x, name DESC")
    }
    assert names == {
        "": "edcba", "created": "abcde", "metrics.x": "beacd",
        "metrics.x DESC": "aebdc", "metrics.x, name DESC": "ebadc",
    }  # fmt: skip


def test_numbers_come_before_texts() -> None:
    values: list[float | str] = ["adam", 2.0, "Adam", 1.0]
    versions = [replace(BASE, place=place, params={"p": value}) for place, value in enumerate(values)]
    up = [version.params["p"] for version in order.ordered(versions, order.parse("params.p"))]
    down = [version.params["p"] for version in order.ordered(versions, order.parse("params.p DESC"))]
    assert up == [1.0, 2.0, "Adam", "adam"]
    assert down == [2.0, 1.0, "adam", "Adam"]


def test_facts_of_a_record() -> None:
    record = Record(
        name="v7", branch="u1", author="a\0b", created_at="", operation=Operation("save"), message="m" * 2000,
        files=(FileEntry("a", "00" * 32, 7), FileEntry("b", "11" * 32, 5)),
        params={"x": {"lr": 1, "deep": {"on": True}}, "x.lr": 2, "layers": [1, "two"], "none": None, "big": 2**63},
        metrics={"up": "Infinity", "down": "-Infinity", "none": "NaN", "f": 0.5},
    )  # fmt: skip
    state = states.VersionState("ef" * 32, 3, 99, pins=("tag/x",))
    found = facts.facts(4, "main", 88, state, record, ("x",))
    assert (found.author, len(found.message), found.size, found.revision) == ("a\ufffdb", 1000, 12, 3)
    assert found.params == {
        "big": 2.0**63, "layers": '[1,"two"]', "x.deep.on": "true", "x.lr": 2.0,
    }  # fmt: skip
    assert found.metrics["up"] == -found.metrics["down"] > 1e308
    assert math.isnan(found.metrics["none"])
    assert (found.created, found.updated, found.branch, found.tag, found.alias) == (
        88,
        99,
        "main",
        ("x",),
        (),
    )


def test_only_so_many_values_are_looked_at() -> None:
    record = Record(
        name="v7", branch="u1", author="", created_at="", operation=Operation("save"), files=(),
        params={f"p{n:05}": n for n in range(3000)},
    )  # fmt: skip
    assert list(facts.params_of(record))[-1] == "p00999"
