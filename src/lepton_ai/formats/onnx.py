"""ONNX models: protobuf, walked by hand, because the tensors' places in the file are what we want to know.

Found are initialisers, the tensors of nodes' attributes (those of ``Constant`` under the name of its output)
and the parameter lists of ``ai.onnx.ml`` nodes, also in sub-graphs, functions and training graphs, whose
names stand before theirs: ``Loop_3/body/weight``. Sparse tensors, strings and tensors in several pieces stay
opaque.

Source: https://github.com/onnx/onnx/blob/main/onnx/onnx.proto, …/docs/ExternalData.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from lepton_ai.formats import onnx_tensors
from lepton_ai.formats.contract import Extent, Layout, Malformed, Tensor
from lepton_ai.formats.onnx_findings import Findings
from lepton_ai.formats.protobuf import BYTES, Field, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from lepton_ai.formats.contract import Format, Source

FIRST_TAGS = frozenset(
    number << 3 | (0 if number in {1, 5} else 2) for number in (1, 2, 3, 4, 5, 6, 7, 8, 14)
)
"""What a ModelProto can begin with; it has no magic number."""

DEEPEST = 32
"""Graphs within graphs; protobuf itself gives up at 100 messages, three for each graph."""

MOST_PARTS = 10_000

ML = "ai.onnx.ml"


class _Node(msgspec.Struct):
    name: str = ""
    output: str = ""
    kind: str = ""
    domain: str = ""
    attributes: list[Field] = msgspec.field(default_factory=list)


class _Attribute(msgspec.Struct):
    name: str = ""
    tensors: list[Field] = msgspec.field(default_factory=list)
    graphs: list[Field] = msgspec.field(default_factory=list)
    lists: list[Field] = msgspec.field(default_factory=list)


class Onnx:
    """The reader of ``.onnx`` files."""

    name = "onnx"

    def claims(self, path: str, head: bytes) -> bool:
        """By suffix, and a first byte that a model can have."""
        return path.lower().endswith(".onnx") and head[:1] != b"" and head[0] in FIRST_TAGS

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .onnx."""
        return path.lower().endswith(".onnx")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:
        """Where the tensors are, in the model and in the files beside it that it names."""
        wire, findings = Wire(source), Findings(path, source.size, folder)
        _Walk(wire, findings).model()
        return findings.layout(self.name)


class _Walk:
    """One pass over the messages that can hold tensors."""

    def __init__(self, wire: Wire, findings: Findings) -> None:
        self._wire, self._findings = wire, findings

    def model(self) -> None:
        graphs = trainings = 0
        for item in self._wire.fields(0, self._wire.size):
            if item.number == 7:
                graphs += 1
                self._graph(item, "", 0)
            elif item.number == 20:
                self._training(item, f"training/{trainings}/")
                trainings += 1
            elif item.number == 25:
                self._function(item)
        if graphs != 1:
            raise Malformed(f"{graphs} graphs in one model")

    def _inside(self, message: Field, runs: frozenset[int] = frozenset()) -> Iterator[Field]:
        if message.wire != BYTES:
            raise Malformed(f"field {message.number} at byte {message.start} is no message")
        return self._wire.fields(message.offset, message.end, runs)

    def _training(self, message: Field, prefix: str) -> None:
        for item in self._inside(message):
            if item.number in {1, 2}:
                self._graph(item, prefix + ("initialization/" if item.number == 1 else "algorithm/"), 0)

    def _function(self, message: Field) -> None:
        keys = {1, 10, 13}
        names = {i.number: self._wire.text(i) for i in self._inside(message) if i.number in keys}
        prefix = "functions/" + ".".join(names[key] for key in (10, 1, 13) if names.get(key)) + "/"
        for item in self._inside(message):
            if item.number == 7:
                self._node(item, prefix, 0)

    def _graph(self, message: Field, prefix: str, depth: int) -> None:
        if depth > DEEPEST:
            raise Malformed(f"more than {DEEPEST} graphs within each other")
        for item in self._inside(message):
            if item.number == 1:
                self._node(item, prefix, depth)
            elif item.number == 5:
                self._tensor(item, prefix, "")

    def _tensor(self, message: Field, prefix: str, name: str) -> None:
        if message.wire != BYTES:
            raise Malformed(f"field {message.number} at byte {message.start} is no message")
        proto = onnx_tensors.read(self._wire, message)
        name = self._findings.names.unique(prefix + (name or proto.name))
        self._findings.add(onnx_tensors.place(proto, name, self._findings.neighbours))

    def _node(self, message: Field, prefix: str, depth: int) -> None:
        node = _Node()
        for item in self._inside(message):
            if item.number == 2:
                node.output = node.output or self._wire.text(item)
            elif item.number == 3:
                node.name = self._wire.text(item)
            elif item.number == 4:
                node.kind = self._wire.text(item)
            elif item.number == 5:
                node.attributes.append(item)
            elif item.number == 7:
                node.domain = self._wire.text(item)
            if len(node.attributes) > MOST_PARTS:
                raise Malformed(f"a node of more than {MOST_PARTS} attributes")
        for item in node.attributes:
            self._attribute(item, node, prefix, depth)

    def _attribute(self, message: Field, node: _Node, prefix: str, depth: int) -> None:
        found = self._parts(message)
        constant = node.kind == "Constant" and bool(node.output)
        name = node.output if constant else f"{node.name or node.output or node.kind}/{found.name}"
        for item in found.tensors:
            self._tensor(item, prefix, name)
        for item in found.graphs:
            self._graph(item, f"{prefix}{name}/", depth + 1)
        if node.domain == ML or constant:
            for item in found.lists:
                self._list(item, prefix + name)

    def _parts(self, message: Field) -> _Attribute:
        found = _Attribute()
        places = {5: found.tensors, 10: found.tensors, 6: found.graphs, 11: found.graphs}
        places |= {7: found.lists, 8: found.lists}
        for item in self._inside(message, frozenset({7, 8})):
            if item.number == 1:
                found.name = self._wire.text(item)
            elif item.number in places:
                places[item.number].append(item)
                if len(places[item.number]) > MOST_PARTS:
                    raise Malformed(f"an attribute of more than {MOST_PARTS} parts")
        return found

    def _list(self, item: Field, name: str) -> None:
        """The numbers of an attribute ``floats`` or ``ints``: what a tree ensemble has learnt."""
        dtype = "float32" if item.number == 7 else "int64"
        name = self._findings.names.unique(name)
        if item.wire != BYTES:
            self._findings.add(onnx_tensors.numbers_with_tags(item, name, dtype, (item.times,)))
        elif dtype == "float32" and item.length % 4 == 0:
            self._findings.add(Tensor(name, dtype, (item.length // 4,), (Extent(item.offset, item.length),)))


FORMAT: Format = Onnx()
