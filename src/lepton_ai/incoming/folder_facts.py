"""What the small files of a model's folder tell about it: the model card, and what trainers of transformers write.

Source: https://github.com/huggingface/hub-docs/blob/main/modelcard.md
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import Any

import msgspec

from lepton_ai.incoming.values import flat, is_number, listed, mapping, parsed
from lepton_ai.types import Dataset

CARD = "README.md"
TRAINER = "trainer_state.json"
RESULTS = ("all_results.json", "train_results.json", "eval_results.json")
NOT_PARAMS = frozenset({"model-index", "datasets", "widget", "extra_gated_prompt", "extra_gated_fields"})
STEPS = frozenset({"step", "epoch"})


class Facts(msgspec.Struct):
    """What is known: params of the card, metrics, curves, and the data."""

    params: dict[str, Any] = {}
    metrics: dict[str, Any] = {}
    curves: dict[str, list[float]] = {}
    dataset: Dataset | None = None


def facts(paths: Collection[str], read: Callable[[str], bytes]) -> Facts:
    """What is told by the files at ``paths``, of which those are ``read`` that tell something."""
    found = Facts()
    if CARD in paths:
        _card(mapping(parsed("card.yaml", _front(read(CARD)))), found)
    for name in RESULTS:
        if name in paths:
            numbers = flat(parsed(name, read(name)))
            found.metrics |= {key: value for key, value in numbers if is_number(value)}
    if TRAINER in paths:
        for line in map(mapping, listed(mapping(parsed(TRAINER, read(TRAINER))).get("log_history"))):
            for name, value in line.items():
                if name not in STEPS and is_number(value):
                    found.curves.setdefault(name, []).append(float(value))
    return found


def _front(data: bytes) -> bytes:
    """The YAML between the first two lines of ``---``."""
    lines = data.splitlines()
    if not lines or lines[0].strip() != b"---" or b"---" not in lines[1:]:
        return b""
    return b"\n".join(lines[1 : lines.index(b"---", 1)])


def _card(card: Any, found: Facts) -> None:
    found.params = {key: value for key, value in card.items() if key not in NOT_PARAMS and value is not None}
    data = card.get("datasets")
    named = [str(name) for name in (listed(data) or ([data] if data else []))]
    if named:
        found.dataset = Dataset(named[0], source="https://huggingface.co/datasets/" + named[0],
                                extra={"more": named[1:]} if named[1:] else {})  # fmt: skip
    for name, value in _evaluations(card):
        found.metrics.setdefault(name, value)


def _evaluations(card: Any) -> Iterator[tuple[str, float]]:
    """Results of the card's model index: ``dataset/metric`` and a number."""
    for model in map(mapping, listed(card.get("model-index"))):
        for result in map(mapping, listed(model.get("results"))):
            data = mapping(result.get("dataset"))
            where = data.get("name") or data.get("type") or mapping(result.get("task")).get("type") or ""
            for metric in map(mapping, listed(result.get("metrics"))):
                what, value = metric.get("name") or metric.get("type"), metric.get("value")
                if what and value is not None and is_number(value):
                    yield (f"{where}/{what}" if where else str(what)), float(value)
