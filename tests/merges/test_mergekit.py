"""Every method against mergekit 0.1.5: its stored answers, and its answers now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.merges.questions import CASES, STORED, asked, environment, ours, question, read, theirs

CLOSE = {"rtol": 1e-5, "atol": 1e-5}


def names() -> list[str]:
    return [f"{number}-{case[0]}" for number, case in enumerate(CASES)]


@pytest.fixture(scope="module")
def stored() -> Any:
    with np.load(STORED) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.mark.parametrize("number", range(len(CASES)), ids=names())
def test_as_mergekit_answered(stored: Any, number: int) -> None:
    np.testing.assert_allclose(ours(number, read(stored, number)), stored[f"{number}.answer"], **CLOSE)


@pytest.mark.slow
def test_as_mergekit_answers(tmp_path: Path) -> None:
    """With tensors of several stretches; MERGEKIT_PYTHON saves making an environment of a gigabyte.

    mergekit is asked in float64: its float32 norms of two million elements are off by a ten-thousandth.
    """
    cases = {number: question(number, size=20_000) for number in range(len(CASES))}
    questions = asked(cases)
    for name in questions:
        if name.split(".")[1].isdigit():
            questions[name] = questions[name].astype(np.float64)
    answers = theirs(environment(tmp_path), questions)
    for number, (case, _, _) in cases.items():
        np.testing.assert_allclose(ours(number, case), answers[number], **CLOSE, err_msg=str(CASES[number]))
