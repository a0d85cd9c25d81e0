"""Configurations, carried out by mergekit itself and by what we read in them."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from lepton_ai.history.merges.dialect.reading import recipe_of
from lepton_ai.history.merges.dialect.text import plain
from lepton_ai.history.merges.registry import method
from lepton_ai.testing.merge_cases import case_of, result_of
from tests.merges.questions import environment

LAYERS, WIDTH, INNER, WORDS = 5, 16, 24, 40
CONFIG = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH, "intermediate_size": INNER,
    "num_hidden_layers": LAYERS, "num_attention_heads": 2, "num_key_value_heads": 2, "vocab_size": WORDS,
    "max_position_embeddings": 64, "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "torch_dtype": "float32",
}  # fmt: skip
CONFIGS = {
    "linear": """
        merge_method: linear
        models:
          - {model: a, parameters: {weight: [0, 0.3, 0.7, 1]}}
          - model: b
            parameters: {weight: [{filter: mlp, value: 0.5}, {filter: self_attn, value: [1e-1, 2]}, {value: 0.2}]}
        dtype: float32""",
    "slerp": """
        merge_method: slerp
        base_model: b
        slices:
          - sources: [{model: a, layer_range: [0, 5]}, {model: b, layer_range: [0, 5]}]
        parameters:
          t:
            - {filter: self_attn, value: [0, 0.5, 0.3, 0.7, 1]}
            - {filter: mlp, value: [1, 0.5, 0.7, 0.3, 0]}
            - {value: 0.5}
        dtype: float32""",
    "ties": """
        merge_method: ties
        base_model: base
        models:
          - {model: a, parameters: {density: [1, 0.7, 0.1], weight: 1.0}}
          - {model: b, parameters: {density: 0.5, weight: [{filter: mlp, value: 0.5}, {value: 0.1}]}}
        parameters: {normalize: true, int8_mask: true}
        dtype: float32""",
    "task_arithmetic": """
        merge_method: task_arithmetic
        base_model: base
        models: [{model: base}, {model: a, parameters: {weight: 0.4}}, {model: b, parameters: {weight: [0, 1]}}]
        parameters: {lambda: [1, 0.5]}
        dtype: float32""",
    "passthrough": """
        merge_method: passthrough
        slices:
          - sources: [{model: a, layer_range: [0, 2]}]
          - sources: [{model: b, layer_range: [2, 4], parameters: {scale: [{filter: down_proj, value: 0.5}]}}]
          - sources: [{model: base, layer_range: [4, 5]}]
        dtype: float32""",
    "slices": """
        merge_method: linear
        slices:
          - sources: [{model: a, layer_range: [0, 3]}, {model: b, layer_range: [0, 3]}]
            parameters: {weight: [1, 2, 5]}
          - sources: [{model: a, layer_range: [3, 5], parameters: {weight: [0.1, 3]}}, {model: b, layer_range: [3, 5]}]
        parameters: {weight: 0.7}
        dtype: float32""",
    "multislerp": """
        merge_method: multislerp
        base_model: base
        models: [{model: a, parameters: {weight: 0.4}}, {model: b, parameters: {weight: [0.1, 1]}}]
        dtype: float32""",
    "breadcrumbs": """
        merge_method: breadcrumbs
        base_model: base
        models: [{model: a, parameters: {weight: 0.4, gamma: 0.05}}, {model: b, parameters: {weight: 1}}]
        parameters: {density: [0.5, 0.9]}
        dtype: float32""",
}


def shapes() -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (WORDS, WIDTH), "model.norm.weight": (WIDTH,), "lm_head.weight": (WORDS, WIDTH)
    }  # fmt: skip
    for n in range(LAYERS):
        layer = f"model.layers.{n}."
        found |= {f"{layer}self_attn.{one}_proj.weight": (WIDTH, WIDTH) for one in "qkvo"}
        found |= {f"{layer}mlp.{one}_proj.weight": (INNER, WIDTH) for one in ("gate", "up")}
        found |= {f"{layer}mlp.down_proj.weight": (WIDTH, INNER)}
        found |= {f"{layer}{one}_layernorm.weight": (WIDTH,) for one in ("input", "post_attention")}
    return found


def models(folder: Path) -> dict[str, dict[str, Any]]:
    random = np.random.default_rng(8)
    base = {name: random.standard_normal(shape, np.float32) for name, shape in shapes().items()}
    found = {"base": base}
    for name in "ab":
        found[name] = {k: v + 0.2 * random.standard_normal(v.shape, np.float32) for k, v in base.items()}
    for name, tensors in found.items():
        (folder / name).mkdir()
        save_file(tensors, folder / name / "model.safetensors", {"format": "pt"})
        (folder / name / "config.json").write_text(json.dumps(CONFIG))
    return found


def ours(text: str, parents: dict[str, dict[str, Any]]) -> dict[str, Any]:
    recipe = recipe_of(plain(text, "merge.yml"))
    chosen, found = recipe.for_tensors(shapes()), {}
    for name in shapes():
        told = chosen.told(name)
        some = [parents[recipe.models[n]][name] for n in told.models]
        base = parents[recipe.base][name] if recipe.base else None
        case = case_of(method(recipe.method), some, base=base, **told.parameters)
        found[name] = result_of(method(recipe.method), case)
    return found


@pytest.mark.slow
def test_mergekit_makes_the_same_of_every_configuration(tmp_path: Path) -> None:
    python = environment(tmp_path / "environment")
    parents = models(tmp_path)
    quiet = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {
        "HF_HUB_OFFLINE": "1"
    }
    options = ["--no-copy-tokenizer", "--no-write-model-card", "--quiet"]
    for name, text in CONFIGS.items():
        (tmp_path / f"{name}.yml").write_text(text)
        command = [python, "-m", "mergekit.scripts.run_yaml", f"{name}.yml", f"out-{name}", *options]
        subprocess.run(command, cwd=tmp_path, env=quiet, check=True)
        (made,) = (tmp_path / f"out-{name}").glob("*.safetensors")
        theirs, mine = load_file(made), ours(text, parents)
        assert theirs.keys() == mine.keys()
        for tensor, answer in theirs.items():
            np.testing.assert_allclose(
                mine[tensor], answer, rtol=1e-5, atol=1e-5, err_msg=f"{name}: {tensor}"
            )
