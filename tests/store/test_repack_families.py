"""What a family of blocks could become, beside the pure plan."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from lepton_ai.store.codecs.contract import Element
from lepton_ai.store.index import Place
from lepton_ai.store.repack.families import _Family
from lepton_ai.store.repack.survey import Form


def _form(id_: bytes, base: bytes | None, length: int) -> Form:
    place = Place(id_, "a pack", 0, length, 1000, base, int(base is not None))
    return Form(place, 5 if base else 4, Element(12, 4))


def test_what_is_unwanted_is_no_amount_of_room() -> None:
    """A block that must not be touched has no price for another form; that price is not what it will take."""
    forms = {b"a": [_form(b"a", b"b", 100)], b"b": [_form(b"b", None, 800)]}
    survey: Any = SimpleNamespace(
        usable=forms.__getitem__,
        forms=forms,
        fixed={"a pack"},
        now={id_: some[0].place for id_, some in forms.items()},
        chains={b"a": 2, b"b": 1},
    )
    decided = _Family(survey, [b"a", b"b"], {}).decided({b"a": None, b"b": None}, set())
    assert [(change.id, change.bytes) for change in decided.changes] == [(b"a", 800)]
