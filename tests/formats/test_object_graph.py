"""Names out of TensorFlow's graph of objects, as it is written, and as it might lie."""

from __future__ import annotations

import pytest

from lepton_ai.formats.contract import BytesSource
from lepton_ai.formats.object_graph import named

VALUE = ".ATTRIBUTES/VARIABLE_VALUE"
KEYS = [f"_all_variables/{n}/{VALUE}" for n in range(3)]


def field(number: int, content: bytes) -> bytes:
    assert len(content) < 1 << 14
    return bytes([number << 3 | 2]) + length(content) + content


def length(content: bytes) -> bytes:
    return bytes([len(content) & 127 | 128, len(content) >> 7])


def graph(*names: str, keys: list[str] = KEYS) -> bytes:
    """As a checkpoint holds it: the length, four bytes of checksum, the message."""
    nodes = [field(1, field(1, b"\x08\x01" + field(2, b"_all_variables")))]
    for key, name in zip(keys, names, strict=False):
        texts = ((1, "VARIABLE_VALUE"), (2, name), (3, key))
        nodes.append(field(1, field(2, b"".join(field(number, text.encode()) for number, text in texts))))
    data = b"".join(nodes)
    return length(data) + bytes(4) + data


def test_numbers_give_way_to_names() -> None:
    found = named([*KEYS, f"variables/0/{VALUE}"], BytesSource(graph("a/kernel", "a/bias", "b/kernel")))
    assert found == {
        KEYS[0]: f"_all_variables/a/kernel/{VALUE}",
        KEYS[1]: f"_all_variables/a/bias/{VALUE}",
        KEYS[2]: f"_all_variables/b/kernel/{VALUE}",
    }


@pytest.mark.parametrize(
    "data",
    [
        graph("a", "b", "a"),  # twice
        graph("a", "b"),  # one without
        graph("a", "b", ""),
        graph("a", "b", "1"),  # would be another's number
        graph("a", "b", "c", keys=["x", "y", "z"]),
        graph("a", "b", "c\n"),
        graph("a", "b", "c" * 5000),
        graph("a", "b", "c")[:-1],
        b"",
        bytes(9),
        b"\x85\x00" + bytes(4) + b"\x0b" * 5,
    ],
)
def test_numbers_stay_where_names_do_not_tell_all_apart(data: bytes) -> None:
    assert named(KEYS, BytesSource(data)) == {}


def test_a_name_that_another_key_has_is_none() -> None:
    other = f"_all_variables/a/{VALUE}"
    assert named([*KEYS, other], BytesSource(graph("a", "b", "c"))) == {}
    assert named([*KEYS, other], BytesSource(graph("d", "b", "c")))


def test_without_a_graph_numbers_stay() -> None:
    assert named(KEYS, None) == {}
