"""What TensorFlow's graph of objects, which it keeps in each checkpoint, calls the variables that only have a number.

Keras 3 exports its variables as a list in the order of a set: ``_all_variables/0`` is another one every time.

Source: https://github.com/tensorflow/tensorflow/blob/master/tensorflow/core/protobuf/trackable_object_graph.proto
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from lepton_ai.formats.checks import clean_name
from lepton_ai.formats.contract import Malformed
from lepton_ai.formats.protobuf import BYTES, Field, Wire, varint

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from lepton_ai.formats.contract import Source

KEY = "_CHECKPOINTABLE_OBJECT_GRAPH"

NUMBERED = re.compile(r"(_all_variables/)\d+(/\.ATTRIBUTES/VARIABLE_VALUE)")

_NODES, _ATTRIBUTES, _FULL_NAME, _CHECKPOINT_KEY = 1, 2, 2, 3


def named(keys: Collection[str], graph: Source | None) -> dict[str, str]:
    """What those of ``keys`` that are numbered anew at each export are to be called, by the variables' full names.

    ``graph`` holds the graph as a checkpoint holds a string. Empty where it does not tell all of them apart: numbers
    and names beside each other could be mistaken for one another.
    """
    numbered = [(key, found) for key in keys if (found := NUMBERED.fullmatch(key))]
    if graph is None or not numbered:
        return {}
    try:
        full = _full_names(graph)
    except Malformed:
        return {}
    names = {key: full[key].join(found.groups()) for key, found in numbered if full.get(key)}
    whole = len(names) == len(numbered) and not any(map(NUMBERED.fullmatch, names.values()))
    apart = len({*keys, *names.values()}) == len(keys) + len(names)
    return names if whole and apart else {}


def _full_names(graph: Source) -> dict[str, str]:
    """Checkpoint key → full name of every variable; its ``full_name`` is empty where nobody gave it one."""
    length, at = varint(graph.read(0, min(10, graph.size)), 0)
    start = at + 4  # the checksum of the length
    if start + length != graph.size:
        raise Malformed("the graph of objects has another length than it says")
    wire, found = Wire(graph), dict[str, str]()
    for node in _inside(wire, start, graph.size, _NODES):
        for attribute in _inside(wire, node.offset, node.end, _ATTRIBUTES):
            texts = {
                field.number: wire.text(field)
                for field in wire.fields(attribute.offset, attribute.end)
                if field.number in (_FULL_NAME, _CHECKPOINT_KEY)
            }
            if _CHECKPOINT_KEY in texts:
                found[texts[_CHECKPOINT_KEY]] = clean_name(texts.get(_FULL_NAME, ""))
    return found


def _inside(wire: Wire, start: int, end: int, number: int) -> Iterator[Field]:
    """The messages of one number among the fields of another."""
    return (field for field in wire.fields(start, end) if (field.number, field.wire) == (number, BYTES))
