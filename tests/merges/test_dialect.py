"""Merge configurations in mergekit's YAML dialect."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.errors import LeptonError, NotFound, UsageError
from lepton_ai.history.merges.dialect.reading import recipe_of
from lepton_ai.history.merges.dialect.recipe import Chosen, Recipe
from lepton_ai.history.merges.dialect.text import plain
from lepton_ai.history.merges.parameters import settled
from lepton_ai.history.merges.registry import method

NAMES = [
    "model.embed_tokens.weight",
    *(f"model.layers.{n}.{part}.weight" for n in range(5) for part in ("self_attn.q_proj", "mlp.up_proj")),
    "model.norm.weight",
    "lm_head.weight",
]
TIES = """
models:
  - model: chat
    parameters:
      density: [1, 0.7, 0.1] # density gradient
      weight: 1.0
  - model: math@v3
    parameters:
      density: 0.5
      weight:
        - filter: mlp
          value: [0, 1]
        - value: 2e-1
merge_method: ties
base_model: main
parameters:
  normalize: true
  int8_mask: true
dtype: float16
"""
SLERP = """
slices:
  - sources:
      - {model: left, layer_range: [0, 5]}
      - {model: right, layer_range: [0, 5]}
merge_method: slerp
base_model: right
parameters:
  t:
    - filter: self_attn
      value: [0, 0.5, 1]
    - filter: mlp
      value: [1, 0]
    - value: 0.5
"""


def read(text: str) -> Recipe:
    return recipe_of(plain(text, "merge.yml"))


def chosen(text: str) -> Chosen:
    return read(text).for_tensors(NAMES)


def test_models_with_gradients_and_filters() -> None:
    recipe = read(TIES)
    assert (recipe.method, recipe.models, recipe.base, recipe.stored) == (
        "ties",
        ("chat", "math@v3"),
        "main",
        "float16",
    )
    told = recipe.for_tensors(NAMES).told
    assert told("model.layers.1.mlp.up_proj.weight").models == (0, 1)
    assert told("model.layers.1.mlp.up_proj.weight").parameters == {
        "weight": [1.0, 0.25], "density": [0.85, 0.5], "normalize": True, "int8_mask": True
    }  # fmt: skip
    assert told("model.layers.4.self_attn.q_proj.weight").parameters["density"] == [0.1, 0.5]
    assert told("model.layers.4.self_attn.q_proj.weight").parameters["weight"] == [1.0, 0.2]
    assert told("lm_head.weight").parameters["density"] == [1.0, 0.5]  # no layer counts as the first
    assert settled(method("ties"), told("lm_head.weight").parameters, 2)["lambda"] == 1


def test_slerp_begins_at_its_base() -> None:
    recipe = read(SLERP)
    assert (recipe.models, recipe.base) == (("right", "left"), "")
    told = recipe.for_tensors(NAMES).told
    assert told("model.layers.0.self_attn.q_proj.weight").parameters == {"t": 0}
    assert told("model.layers.1.self_attn.q_proj.weight").parameters == {"t": 0.25}
    assert told("model.layers.4.mlp.up_proj.weight").parameters == {"t": 0}
    assert told("model.norm.weight").parameters == {"t": 0.5}
    assert told("model.norm.weight").models == (0, 1)


def test_a_base_of_slerp_need_not_be_listed() -> None:
    assert read("merge_method: slerp\nbase_model: a\nmodels: [{model: b}]").models == ("a", "b")


def test_slices_in_place() -> None:
    """Layers of several models one after the other, each in its own place."""
    config = """
    merge_method: passthrough
    slices:
      - sources: [{model: a, layer_range: [0, 2]}]
      - sources: [{model: b, layer_range: [2, 5], parameters: {scale: [1, 2]}}]
    """
    told = chosen(config).told
    assert told("model.layers.1.mlp.up_proj.weight").models == (0,)
    assert told("model.layers.2.mlp.up_proj.weight").models == (1,)
    assert told("model.layers.3.mlp.up_proj.weight").parameters == {"scale": [1.5]}
    assert told("model.embed_tokens.weight").models == (0,)
    assert told("lm_head.weight").models == (1,)


def test_the_nearest_word_counts() -> None:
    config = """
    merge_method: linear
    parameters: {weight: 3, normalize: false}
    slices:
      - parameters: {weight: [{filter: mlp, value: 2}]}
        sources:
          - {model: a, layer_range: [0, 5], parameters: {weight: [{filter: up_proj, value: 1}]}}
          - {model: b, layer_range: [0, 5]}
    """
    told = chosen(config).told
    assert told("model.layers.0.mlp.up_proj.weight").parameters == {"weight": [1, 2], "normalize": False}
    assert told("model.layers.0.self_attn.q_proj.weight").parameters["weight"] == [3, 3]


def test_an_only_layer_is_as_deep_as_can_be() -> None:
    recipe = read("merge_method: slerp\nmodels: [{model: a}, {model: b}]\nparameters: {t: [0, 1]}")
    assert recipe.for_tensors(["h.0.w"]).told("h.0.w").parameters == {"t": 1}
    assert recipe.for_tensors(["h.0.w", "h.1.w", "out.w"]).told("out.w").parameters == {"t": 0}


def test_a_single_condition_needs_no_list() -> None:
    text = "merge_method: slerp\nmodels: [{model: a}, {model: b}]\nparameters: {t: {filter: mlp, value: 0.1}}"
    told = chosen(text).told
    assert told("model.layers.0.mlp.up_proj.weight").parameters == {"t": 0.1}
    assert told("lm_head.weight").parameters == {}


def test_parameters_of_other_methods_are_passed_over() -> None:
    recipe = read("merge_method: linear\nmodels: [{model: a, parameters: {density: 0.5}}, {model: b}]")
    assert recipe.ignored == ("density",)
    assert recipe.for_tensors(NAMES).told("lm_head.weight").parameters == {}


def test_a_linear_base_is_one_of_the_models() -> None:
    recipe = read("merge_method: linear\nbase_model: a\nmodels: [{model: a}, {model: b}]")
    assert (recipe.models, recipe.base) == (("a", "b"), "")


def test_a_listed_base_is_not_merged_into_itself() -> None:
    recipe = read(
        "merge_method: ties\nbase_model: a\nmodels: [{model: a}, {model: b, parameters: {weight: 2}}]"
    )
    assert (recipe.models, recipe.base) == (("b",), "a")
    assert recipe.for_tensors(NAMES).told("lm_head.weight").parameters == {"weight": [2]}


TWO = "models: [{model: a}, {model: b}]"
TOLD = f"merge_method: linear\n{TWO}\nparameters: "
SLICED = "merge_method: linear\nslices: "


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "holds no merge configuration"),
        ("- a", "holds no merge configuration"),
        ("a: [", "merge.yml is no YAML"),
        ("a: !!python/object/apply:os.system [ls]", "merge.yml is no YAML"),
        ("merge_method: ties\nmerge_method: linear", "'merge_method' is there twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("1: 2", "1 is no name for a key"),
        ("x: " + "[" * 5000, "merge.yml is no YAML"),
        ("x: " + "a" * (1 << 20), "characters; a merge configuration has a few hundred"),
        (TWO, "names no merge_method"),
        (f"merge_method: linear\n{TWO}\nmodel: c", "model: is no key of a merge configuration"),
        (f"merge_method: linear\n{TWO}\nslices: []", "either models: or slices:"),
        ("merge_method: linear", "either models: or slices:"),
        ("merge_method: linear\nmodels: []", "models: has to be a list with something in it"),
        ("merge_method: linear\nmodels: [a]", r"models\[0\] is not a mapping"),
        ("merge_method: linear\nmodels: [{name: a}]", r"models\[0\]: name: is not known here"),
        ("merge_method: linear\nmodels: [{model: 3}]", r"models\[0\]: model has to be a name, not 3"),
        ("merge_method: linear\nmodels: [{model: a+lora}]", "a model with a LoRA"),
        (f"merge_method: linear\n{TWO}\ntokenizer_source: union", "tokenizer_source: cannot be had .*take it out"),
        (f"merge_method: linear\n{TWO}\nchat_template: auto", "chat_template: cannot be had"),
        ("merge_method: linear\nmodules: {x: {}}", "modules: cannot be had .*each module by itself"),
        (f"merge_method: linear\n{TWO}\nbase_model: c", "base_model c is not one of the models"),
        ("merge_method: ties\nbase_model: a\nmodels: [{model: a}]", "the only model is the base"),
        (f"merge_method: linear\n{TWO}\ndtype: int8", "dtype: int8 is not one of"),
        (TOLD + "{wieght: 1}", "linear has no parameter 'wieght'"),
        (TOLD + "[1]", r"parameters holds no parameters but \[1\]"),
        (TOLD + "{weight: []}", "weight is neither a value"),
        (TOLD + "{weight: [1, {value: 2}]}", "weight is neither a value"),
        (TOLD + "{weight: [{vlaue: 2}]}", "is no filter: and value:"),
        (TOLD + "{weight: [{filter: 2, value: 2}]}", "no part of a tensor's name"),
        (TOLD + "{weight: [{value: [{value: 2}]}]}", "filters stand in filters"),
        (SLICED + "[{sources: [{model: a}]}]", "layer_range is .*not None"),
        (SLICED + "[{sources: [{model: a, layer_range: [3, 1]}]}]", "layer_range is"),
        (SLICED + "[{sources: [{model: a, layer_range: [8, 9]}]}]", "puts layer 8 where layer 0 is"),
        (
            SLICED + "[{sources: [{model: a, layer_range: [0, 9]}, {model: b, layer_range: [0, 8]}]}]",
            "of different lengths",
        ),
        (SLICED + "[{sources: [{model: a, layer_range: [0, 9]}], base_model: b}]", "base_model: is not"),
    ],
)  # fmt: skip
def test_what_cannot_be_had_is_refused_plainly(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        read(text)


def test_a_method_that_is_not_here() -> None:
    with pytest.raises(NotFound, match="no merge method 'karcher'"):
        read(f"merge_method: karcher\n{TWO}")


def test_slices_have_to_cover_the_layers() -> None:
    text = "merge_method: linear\nslices: [{sources: [{model: a, layer_range: [0, 4]}]}]"
    with pytest.raises(UsageError, match="the slices end at layer 4; the model has 5"):
        chosen(text)
    with pytest.raises(UsageError, match=r"which stack is meant: text \(1\), vision \(3\)"):
        read(text).for_tensors(["text.0.w", "vision.2.w"])


_plain = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 9) | st.floats(-1, 2) | st.sampled_from(["a", "b", "mlp", "*", ""]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["model", "parameters", "weight", "t", "filter", "value", "sources", "layer_range"]),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(
    st.dictionaries(
        st.sampled_from(["models", "slices", "base_model", "parameters", "dtype", "tokenizer"]), _plain, max_size=4
    ),
    st.sampled_from(["linear", "slerp", "ties", "passthrough", "nobody"]),
)  # fmt: skip
def test_whatever_stands_there_is_read_or_refused(config: dict[str, Any], name: str) -> None:
    with suppress(LeptonError):
        told = recipe_of({"merge_method": name, **config}).for_tensors(NAMES)
        for tensor in NAMES:
            assert told.told(tensor).models
