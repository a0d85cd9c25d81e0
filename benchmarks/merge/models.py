"""A base and two models tuned from it: Llama's tensors, with numbers like those of trained ones."""

from __future__ import annotations

import json
from pathlib import Path

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

WIDTHS = {"hidden_size": 2048, "intermediate_size": 5504, "vocab_size": 8000}
DTYPES = {"bfloat16": np.dtype(ml_dtypes.bfloat16), "float32": np.dtype(np.float32)}
MODELS = ("base", "left", "right")
MOVED = 0.1
"""How far tuning moves a weight, in standard deviations of the weights."""


def config(layers: int, dtype: str) -> dict[str, object]:
    """What mergekit wants to know of the architecture."""
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "num_hidden_layers": layers,
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "torch_dtype": dtype,
        **WIDTHS,
    }


def shapes(layers: int) -> dict[str, tuple[int, ...]]:
    """The tensors, in the order of the file."""
    wide, inner, words = WIDTHS["hidden_size"], WIDTHS["intermediate_size"], WIDTHS["vocab_size"]
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (words, wide)}
    for n in range(layers):
        layer = f"model.layers.{n}."
        found |= {f"{layer}self_attn.{one}_proj.weight": (wide, wide) for one in "qkvo"}
        found |= {f"{layer}mlp.{one}_proj.weight": (inner, wide) for one in ("gate", "up")}
        found |= {f"{layer}mlp.down_proj.weight": (wide, inner)}
        found |= {f"{layer}{one}_layernorm.weight": (wide,) for one in ("input", "post_attention")}
    return found | {"model.norm.weight": (wide,), "lm_head.weight": (words, wide)}


def write(folder: Path, layers: int, dtype: str, number: int) -> Path:
    """Model ``number`` of MODELS as a folder that mergekit takes; the path of its weights."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config(layers, dtype)))
    place = folder / "model.safetensors"
    tensors = {}
    for index, (name, shape) in enumerate(shapes(layers).items()):
        weights = np.random.default_rng([1, index]).standard_normal(shape, np.float32)
        if number:
            weights += MOVED * np.random.default_rng([1, index, number]).standard_normal(shape, np.float32)
        weights *= np.float32(0.02)
        tensors[name] = weights.astype(DTYPES[dtype])
    save_file(tensors, place, {"format": "pt"})
    return place
