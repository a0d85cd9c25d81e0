"""Weights to files, each with its own framework's writer."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from series import minilm

Weights = dict[str, torch.Tensor]


def read(path: Path) -> Weights:
    """The tensors of a safetensors file."""
    from safetensors.torch import load_file

    weights: Weights = load_file(path)
    return weights


def write(weights: Weights, path: Path) -> None:
    """In the format that the suffix names."""
    {".safetensors": _safetensors, ".pt": _pt, ".h5": _h5, ".onnx": _onnx}[path.suffix](weights, path)


def _safetensors(weights: Weights, path: Path) -> None:
    from safetensors.torch import save_file

    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)


def _pt(weights: Weights, path: Path) -> None:
    torch.save(weights, path)


def _h5(weights: Weights, path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        for name, tensor in weights.items():
            file.create_dataset(name.replace(".", "/"), data=tensor.numpy())


class Encoder(torch.nn.Module):
    """The MiniLM with the arguments that it is called with, so that the exporter sees no others."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """(batch, tokens) twice → (batch, tokens, width)."""
        states: torch.Tensor = self.model(
            input_ids=input_ids, attention_mask=attention_mask
        ).last_hidden_state
        return states


def _onnx(weights: Weights, path: Path) -> None:
    """The MiniLM as ``torch.onnx.export`` writes it: parameters under their own names, nothing folded."""
    model = minilm.model(torch.float32)
    model.load_state_dict(weights)
    model.eval()
    given = {
        "input_ids": torch.ones((1, 8), dtype=torch.int64),
        "attention_mask": torch.ones((1, 8), dtype=torch.int64),
    }
    axes = {name: {0: "batch", 1: "tokens"} for name in given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracing exporter is called old and talks about every branch
        torch.onnx.export(
            Encoder(model),
            tuple(given.values()),
            path,
            input_names=list(given),
            dynamic_axes=axes,
            do_constant_folding=False,
            dynamo=False,
        )
