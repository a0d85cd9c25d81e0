"""Merge tensors with mergekit: run by the Python of an environment in which it is installed, which has none of ours.

    python mergekit_answers.py QUESTIONS.npz ANSWERS.npz

Question k is ``k.case`` (JSON: method, parameters, whether there is a base), ``k.0``, ``k.1`` … (the tensors, the base
first) and, where chance decides, ``k.dice`` (a number from 0 to 1 for each model and element). Answer k is ``k``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mergekit.merge_methods.api import merge_tensors


def throwing(dice: list[Any]) -> Callable[[Any], Any]:
    """What stands in for torch.bernoulli: the dice were thrown by us, so that both drop the same elements."""
    thrown = iter(dice)

    def bernoulli(probabilities: Any) -> Any:
        return (torch.from_numpy(next(thrown)).reshape(probabilities.shape) < probabilities).to(probabilities)

    return bernoulli


def answer(questions: Any, number: int) -> Any:
    """What mergekit makes of question ``number``."""
    case = json.loads(str(questions[f"{number}.case"]))
    count = sum(
        1 for name in questions.files if name.startswith(f"{number}.") and name.split(".")[1].isdigit()
    )
    tensors = [torch.from_numpy(questions[f"{number}.{i}"].copy()) for i in range(count)]
    parameters = case["parameters"]
    densities = parameters.get("density", [])
    if f"{number}.dice" in questions.files:
        dice = list(questions[f"{number}.dice"])
        torch.bernoulli = throwing([one for one, density in zip(dice, densities, strict=True) if density < 1])
    base = (
        0 if case["base"] or case["method"] == "slerp" else None
    )  # where SLERP begins is called the base there
    ids = ["base", *range(count - 1)] if case["base"] else list(range(count))
    given = {
        name: dict(zip(ids[-len(value) :], value, strict=True)) if isinstance(value, list) else value
        for name, value in parameters.items()
    }
    return merge_tensors(
        tensors, case["method"], parameters=given, ids=ids, base_index=base, name="w"
    ).numpy()


def main() -> None:
    """Answer all."""
    questions = np.load(sys.argv[1])
    numbers = sorted(int(name.split(".")[0]) for name in questions.files if name.endswith(".case"))
    np.savez(sys.argv[2], **{str(number): answer(questions, number) for number in numbers})


if __name__ == "__main__":
    main()
