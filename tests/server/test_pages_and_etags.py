"""Cursors and ETags, which every list and everything that can change use."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import UsageError
from lepton_ai.server import cursors, etags, problems

KINDS = [(int, 7), (str, "a/ü"), (bytes, b"\x00\xff"), (tuple[int, str], (1, "x"))]


@pytest.mark.parametrize(("kind", "place"), KINDS)
def test_a_cursor_comes_back_as_it_was(kind: type[object], place: object) -> None:
    told = cursors.encode(place)
    assert told.replace("-", "").replace("_", "").isalnum()
    assert cursors.decode(told, kind) == place
    assert cursors.decode(None, kind) is None


@given(st.text(max_size=50))
def test_a_cursor_that_nobody_told_is_refused_or_a_number(cursor: str) -> None:
    with contextlib.suppress(UsageError):
        assert isinstance(cursors.decode(cursor, int), int)


@pytest.mark.parametrize("place", [1 << 63, (1 << 63, "x"), -(1 << 63)])
def test_a_number_that_no_database_has_is_refused(place: object) -> None:
    with pytest.raises(UsageError, match="cursor"):
        cursors.decode(cursors.encode(place), type(place) if isinstance(place, int) else tuple[int, str])


def test_only_what_was_read_is_changed() -> None:
    now = etags.etag("a", 1)
    assert now != etags.etag("a", 2)
    for given_ in (None, now, "*", f'"other", {now}', f"W/{now}"):
        etags.check(given_, now, "the branch")
    with pytest.raises(problems.Changed, match="the branch is no longer"):
        etags.check('"other"', now, "the branch")
    with pytest.raises(problems.Changed):
        etags.check("*", None, "the branch")


def test_what_is_known_is_not_sent_again() -> None:
    now = etags.etag("a")
    answer = etags.unchanged(now, now)
    assert answer is not None
    assert (answer.status_code, answer.headers["etag"]) == (304, now)
    assert etags.unchanged('"x"', now) is None
    assert etags.unchanged(None, now) is None
