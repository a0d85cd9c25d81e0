"""The page: it needs nothing beside it, and what others wrote stays text."""

from __future__ import annotations

import math
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from lepton_ai.history.diff import charts
from lepton_ai.history.diff.contract import Histogram
from lepton_ai.repository import ModelRepository
from tests.history.diff.models import layers, repo, save

__all__ = ["repo"]
EVIL = "<script>alert('x')</script>\"&amp;<img src=x onerror=y>"
VOID = {"meta", "br", "path", "rect"}


class _Checked(HTMLParser):
    """Every tag that is opened is closed again; tags and texts are collected."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.texts: list[str] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


@pytest.fixture
def pages(repo: ModelRepository) -> list[str]:
    before = layers() | {EVIL: np.zeros(100)}
    after = layers(1) | {EVIL: np.ones(100)}
    after["layers.0.bias"][0] = np.nan
    one = save(repo, before, params={EVIL: EVIL}, metrics={EVIL: 1}, dataset={"name": EVIL}, message=EVIL)
    two = save(repo, after, params={EVIL: "other"}, metrics={EVIL: 2}, message=EVIL)
    found, course = one.diff(two), repo.tensor_history(EVIL)
    return [found.page(), found._repr_html_(), course.page(), course._repr_html_()]


def test_nothing_from_elsewhere_and_no_script(pages: list[str]) -> None:
    for page in pages:
        checked = _Checked(page)
        assert not checked.tags & {"script", "img", "link", "iframe", "object"}
        assert not re.search(r"""(src|href)\s*=|url\(|@import|https?://""", re.sub(r"&lt;.*?&gt;", "", page))
        assert "svg" in checked.tags
        assert "prefers" in page or "Canvas" in page or page.startswith("<div"), "light and dark"


def test_what_others_wrote_stays_text(pages: list[str]) -> None:
    for page in pages:
        assert "<script" not in page
        assert "<img" not in page
        assert any(EVIL in text for text in ["".join(_Checked(page).texts)])


def test_what_must_not_be_overlooked_is_there(pages: list[str]) -> None:
    text = "".join(_Checked(pages[0]).texts)
    assert "main@v2 introduces 1 NaN" in text
    assert "Of 7 tensors: 7 changed." in text
    for title in ("Tensors", "Layers by how far they moved", "Metrics", "Params", "Dataset", "Files"):
        assert title in text


def test_a_notebook_is_not_flooded(repo: ModelRepository) -> None:
    many = {f"l.{i}.w": np.full(100, float(i)) for i in range(100)}
    one, two = save(repo, many), save(repo, {name: array + 1 for name, array in many.items()})
    found = one.diff(two)
    assert "40 more: .page()" in found._repr_html_()
    assert "more: .page()" not in found.page()
    assert found.page().count('<svg class="hist"') == 100


def test_charts_of_little() -> None:
    assert charts.histogram(None) == ""
    assert charts.line(["v1"], [None]) == ""
    assert charts.line(["v1", "v2"], [1.0, math.inf]).count("<circle") == 1
    drawn = charts.histogram(Histogram((1.0, 2.0, 4.0), (0, 3), (1, 0)))
    assert (drawn.count('class="up"'), drawn.count('class="down"')) == (1, 1)
    assert 'width="0.0"' not in charts.bar(0.0001)
