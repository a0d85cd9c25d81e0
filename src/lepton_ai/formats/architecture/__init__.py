"""What a model's file says of its architecture: nodes or layers with their attributes, by a file a format."""

from __future__ import annotations

from collections.abc import Callable

from lepton_ai.formats.architecture import keras, onnx
from lepton_ai.formats.architecture.contract import Part
from lepton_ai.formats.contract import Source

READERS: dict[str, Callable[[Source], list[Part]]] = {
    "onnx": onnx.parts,
    "keras": keras.of_archive,
    "hdf5": keras.of_hdf5,
}
"""By the name of the format, as :class:`~lepton_ai.formats.contract.Layout` has it."""
