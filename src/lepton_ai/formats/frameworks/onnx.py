"""ONNX models: a ``ModelProto`` ⇄ ``<stem>.onnx``.

A model over 2 GB, which protobuf cannot hold in one file, keeps its tensors beside it in
``<stem>.onnx.data``. Loading gives the ``ModelProto``
(``onnxruntime.InferenceSession(model.SerializeToString())`` runs it); it runs no code.

Source: https://github.com/onnx/onnx/blob/main/docs/ExternalData.md
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks.contract import PROGRAM, Found, Saved, chosen, is_a, need

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

INSTALL = "lepton-ai[onnx]"
LARGEST = 2**31 - 1
"""Bytes that one protobuf message can have."""

PAGE = 4096
"""Bytes; external tensors start at such an offset, for runtimes that map them; smaller ones stay inside."""


class Onnx:
    """ONNX ⇄ files."""

    name = "onnx"

    def owns(self, model: object) -> bool:
        """Whether it is a ModelProto."""
        return is_a(model, "onnx", "ModelProto")

    def formats(self) -> tuple[str, ...]:
        """There is one."""
        return ("onnx",)

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,  # noqa: ARG002  (the contract's; ONNX needs none)
    ) -> Saved:
        """Write the model, its tensors beside it when it is too large for one file."""
        kind = chosen(self, format)
        onnx = need("onnx", INSTALL)
        live: Any = model
        path = folder / f"{stem}.onnx"
        if next(_absent(live.graph), None) is not None:
            raise Unsupported(
                "its tensors are in other files and were not loaded",
                hint="onnx.load(path, load_external_data=True)",
            )
        if _size(live) <= LARGEST:
            onnx.save_model(live, str(path))
            return Saved((path,), kind)
        beside = folder / f"{path.name}.data"
        onnx.save_model(_split(onnx, live, beside), str(path))
        return Saved((path, beside), kind)

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:  # noqa: ARG002  (names are enough)
        """Every .onnx file."""
        return [Found(path, PROGRAM) for path in files if path.endswith(".onnx")]

    def load(self, folder: Path, path: str, *, trust: bool) -> object:  # noqa: ARG002  (a ModelProto is data)
        """The ModelProto, with tensors from files beside it read in."""
        model: object = need("onnx", INSTALL).load(str(folder / path))
        return model


def _size(model: Any) -> float:
    """Bytes that the model takes as one message, or more than fits."""
    try:
        return int(model.ByteSize())
    except Exception:  # noqa: BLE001  (protobuf's error for "too large" differs between its versions)
        return float("inf")


def _absent(graph: Any) -> Iterator[Any]:
    """Tensors of a graph that name a file instead of holding their values."""
    return (tensor for tensor in graph.initializer if tensor.data_location == tensor.EXTERNAL)


def _split(onnx: Any, model: Any, beside: Path) -> Any:
    """The model without its larger tensors' values, which go into the file ``beside``.

    onnx's own writer would take the values out of the caller's object.
    """
    shell = onnx.ModelProto()
    _copy(model, shell, but="graph")
    _copy(model.graph, shell.graph, but="initializer")
    with beside.open("wb") as file:
        for tensor in model.graph.initializer:
            kept = shell.graph.initializer.add()
            values = tensor.raw_data
            if len(values) < PAGE:
                kept.CopyFrom(tensor)
                continue
            _copy(tensor, kept, but="raw_data")
            file.write(b"\0" * (-file.tell() % PAGE))
            kept.data_location = onnx.TensorProto.EXTERNAL
            for key, value in (("location", beside.name), ("offset", file.tell()), ("length", len(values))):
                kept.external_data.add(key=key, value=str(value))
            file.write(values)
    return shell


def _copy(source: Any, target: Any, but: str) -> None:
    """Copy every field of a protobuf message except one."""
    for field, value in source.ListFields():
        if field.name == but:
            continue
        if isinstance(value, str | bytes | int | float):
            setattr(target, field.name, value)
        else:
            getattr(target, field.name).MergeFrom(value)


FRAMEWORK = Onnx()
