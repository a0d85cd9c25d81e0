"""The limits that readers share."""

from __future__ import annotations

import pytest

from lepton_ai.formats import checks
from lepton_ai.formats.checks import clean_name, is_extent, parse_json, put
from lepton_ai.formats.contract import Extent, Malformed, Tensor


def tensor(name: str, offset: int) -> Tensor:
    return Tensor(name, "uint8", (1,), (Extent(offset, 1),))


def test_names_stay_apart_and_repetitions_are_left_out() -> None:
    found: dict[str, Tensor] = {}
    assert [put(found, tensor("a", offset), 100) for offset in (0, 1, 0, 1)] == ["a", "a~2", "a", "a~2"]
    assert [(name, found[name].name, found[name].extents[0].offset) for name in found] == [
        ("a", "a", 0),
        ("a~2", "a~2", 1),
    ]


def test_a_tenth_tensor_of_one_name_is_refused() -> None:
    found: dict[str, Tensor] = {}
    for offset in range(9):
        put(found, tensor("a", offset), 100)
    with pytest.raises(Malformed, match="ten tensors"):
        put(found, tensor("a", 9), 100)


def test_tensors_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "MAX_TENSORS", 2)
    found: dict[str, Tensor] = {}
    put(found, tensor("a", 0), 100)
    put(found, tensor("b", 0), 100)
    with pytest.raises(Malformed, match="more tensors than 100 bytes can hold"):
        put(found, tensor("c", 0), 100)


@pytest.mark.parametrize("name", ["", "a.b", "层 · weight/kernel:0", "\u2028", "a" * 4096])
def test_names_that_are_kept(name: str) -> None:
    assert clean_name(name) == name


@pytest.mark.parametrize("name", ["\0", "\x1b[2J", "a\nb", "\x7f", "\ud800", "a" * 4097])
def test_names_that_are_refused(name: str) -> None:
    with pytest.raises(Malformed):
        clean_name(name)


def test_extents() -> None:
    assert all(map(is_extent, (0, 1, 2**63 - 1)))
    assert not any(map(is_extent, (-1, 2**63, True, 1.0, "1", None)))


def test_json_that_would_explode_is_refused_before_it_is_parsed() -> None:
    assert parse_json(b'{"a": [1, 2.5, null, "\\u00e4"]}') == {"a": [1, 2.5, None, "ä"]}
    for bomb in (
        b"[" + b"[]," * 2_600_000 + b"[]]",
        b"{" + b'"":1,' * 1_300_000 + b"}",
        b"[" + b"1," * 5_100_000 + b"1]",
    ):
        with pytest.raises(Malformed, match="more values"):
            parse_json(bomb)
