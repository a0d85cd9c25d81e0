"""The nodes of an ONNX model, by our own walk over its bytes; weights are no part of it.

A node without a name is called by its first output. Names of sub-graphs stand before their nodes':
``Loop_3/body/Add_1``. What a node reads is its attribute ``inputs``, without the weights among it.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from lepton_ai.formats.architecture.contract import LONGEST_VALUE, MOST_PARTS, Part, Parts
from lepton_ai.formats.contract import Malformed, Source
from lepton_ai.formats.onnx import DEEPEST
from lepton_ai.formats.onnx_tensors import TYPES
from lepton_ai.formats.protobuf import BYTES, Field, Wire, signed

MOST_BYTES = 1 << 20
LISTS = frozenset({7, 8})
"""Fields of an attribute that are lists of numbers, perhaps with a tag each."""
LONGEST_LIST = 4096
"""Bytes up to which a list of numbers is told: longer ones are weights."""


def parts(source: Source) -> list[Part]:
    """Opset imports, inputs, outputs and nodes, in the order of the file.

    Raises:
        Malformed: it is no ONNX model.
    """
    walk = _Walk(Wire(source))
    walk.model()
    return walk.parts.found


class _Walk:
    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self.parts = Parts()

    def model(self) -> None:
        for item in self._wire.fields(0, self._wire.size):
            if item.number == 8:
                domain, version = "", 0
                for part in self._inside(item):
                    domain = self._wire.text(part) if part.number == 1 else domain
                    version = signed(part.value) if part.number == 2 else version
                self.parts.put(f"opset {domain or 'ai.onnx'}", "Opset", {"version": str(version)})
            elif item.number == 7:
                self._graph(item, "", 0)

    def _inside(self, message: Field, runs: frozenset[int] = frozenset()) -> Iterator[Field]:
        if message.wire != BYTES:
            raise Malformed(f"field {message.number} at byte {message.start} is no message")
        return self._wire.fields(message.offset, message.end, runs)

    def _graph(self, message: Field, prefix: str, depth: int) -> None:
        if depth > DEEPEST:
            raise Malformed(f"more than {DEEPEST} graphs within each other")
        items = list(self._inside(message))
        weights = {self._text_in(item, 8) for item in items if item.number == 5}
        for item in items:
            if item.number == 1:
                self._node(item, prefix, depth, weights)
            elif item.number in (11, 12):
                name = self._text_in(item, 1)
                if name not in weights:
                    kind = "Input" if item.number == 11 else "Output"
                    self.parts.put(f"{prefix}{kind.lower()} {name}", kind, {"type": self._type(item)})

    def _text_in(self, message: Field, number: int) -> str:
        return next((self._wire.text(item) for item in self._inside(message) if item.number == number), "")

    def _node(self, message: Field, prefix: str, depth: int, weights: set[str]) -> None:
        inputs: list[str] = []
        output = name = kind = domain = ""
        attributes: list[Field] = []
        for item in self._inside(message):
            if item.number == 1:
                inputs.append(self._wire.text(item))
            elif item.number == 2:
                output = output or self._wire.text(item)
            elif item.number == 3:
                name = self._wire.text(item)
            elif item.number == 4:
                kind = self._wire.text(item)
            elif item.number == 5:
                attributes.append(item)
            elif item.number == 7:
                domain = self._wire.text(item)
        name = prefix + (name or output or kind)
        self.parts.room(name)
        place = len(self.parts.found)
        told = dict(self._attribute(item, name, depth) for item in attributes)
        told["inputs"] = ", ".join(one for one in inputs if one and one not in weights)
        self.parts.put(name, f"{domain}.{kind}" if domain else kind, told, place)

    def _attribute(self, message: Field, node: str, depth: int) -> tuple[str, str]:
        name, values, graphs = "", list[str](), list[Field]()
        for item in self._inside(message, LISTS):
            if item.number == 1:
                name = self._wire.text(item)
            elif item.number in (6, 11):
                graphs.append(item)
            else:
                values += self._values(item)
        for item in graphs:
            self._graph(item, f"{node}/{name}/", depth + 1)
        values += ["graph"] * len(graphs)
        text = values[0] if len(values) == 1 else f"[{', '.join(values)}]"
        return name, text[:LONGEST_VALUE]

    def _values(self, item: Field) -> list[str]:
        """An attribute's value, or some of its values, as text."""
        if item.number in LISTS:
            return self._list(item)
        if item.number == 2:
            return [_float(item.value)]
        if item.number == 3:
            return [str(signed(item.value))]
        if item.number in (4, 9):
            return [self._wire.data(item, MOST_BYTES).decode("utf-8", "backslashreplace")]
        if item.number in (5, 10):
            return [self._tensor(item)]
        return [f"@{self._wire.text(item)}"] if item.number == 21 else []

    def _list(self, item: Field) -> list[str]:
        """Floats or whole numbers; of long lists only how long they are."""
        if item.length > LONGEST_LIST:
            return [f"{item.times} numbers" if item.wire != BYTES else f"{item.length} bytes of numbers"]
        if item.wire != BYTES:  # with a tag each
            again = list(self._wire.fields(item.offset, item.end))
            return [_float(one.value) if item.number == 7 else str(signed(one.value)) for one in again]
        if item.number == 8:
            return [str(number) for number in self._wire.numbers(item, LONGEST_LIST)]
        data = self._wire.data(item, LONGEST_LIST)
        return [f"{value:.7g}" for (value,) in struct.iter_unpack("<f", data[: len(data) // 4 * 4])]

    def _tensor(self, message: Field) -> str:
        extents: list[int] = []
        kind = 0
        for item in self._inside(message):
            if item.number == 1:
                extents += self._wire.numbers(item, MOST_PARTS)
            elif item.number == 2:
                kind = item.value
        return f"tensor {TYPES.get(kind, kind)}{extents}"

    def _type(self, value: Field) -> str:
        """The type and shape of an input or output: ``float32[batch, 3]``."""
        for kind in self._inside(value):
            for tensor in self._inside(kind) if kind.number == 2 else ():
                if tensor.number == 1:
                    return self._tensor_type(tensor)
        return ""

    def _tensor_type(self, message: Field) -> str:
        kind, extents = "", list[str]()
        for item in self._inside(message):
            if item.number == 1:
                kind = TYPES.get(item.value, str(item.value))
            elif item.number == 2:
                extents += [self._extent(part) for part in self._inside(item) if part.number == 1]
        return f"{kind}[{', '.join(extents)}]"

    def _extent(self, message: Field) -> str:
        for item in self._inside(message):
            if item.number == 1:
                return str(signed(item.value))
            if item.number == 2:
                return self._wire.text(item)
        return "?"


def _float(bits: int) -> str:
    return f"{struct.unpack('<f', struct.pack('<I', bits & 0xFFFFFFFF))[0]:.7g}"
