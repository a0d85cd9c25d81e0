"""The methods by hand: their doctests, and small cases with what is special about each."""

from __future__ import annotations

import doctest
import importlib
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_ai.errors import UsageError
from lepton_ai.history.merges.parameters import obstacle
from lepton_ai.history.merges.registry import method, names
from lepton_ai.testing.merge_cases import case_of, merged, result_of


@pytest.mark.parametrize(
    "name", [name for name in names() if method(name).__module__.startswith("lepton_ai.")]
)
def test_its_example_is_true(name: str) -> None:
    found = doctest.testmod(importlib.import_module(f"lepton_ai.history.merges.{name}"))
    assert found.attempted >= 2
    assert found.failed == 0


def close(result: Any, expected: Any) -> None:
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("name", sorted(names()))
def test_weights_one_and_zero(name: str) -> None:
    """What does not count is not read: not even where it is no number."""
    chosen = method(name)
    if "weight" not in {parameter.name for parameter in chosen.parameters} or name in (
        "fisher",
        "multislerp",
    ):
        return
    result = merged(chosen, [1.5, -2.0], [math.nan, 9.0], base=[1.0, 2.0], weight=[1, 0])
    assert result == [1.5, -2.0]


def test_slerp_by_hand() -> None:
    slerp = method("slerp")
    close(
        merged(slerp, [2.0, 0.0], [0.0, 2.0], t=1 / 3), [2 * math.cos(math.pi / 6), 2 * math.sin(math.pi / 6)]
    )
    assert merged(slerp, [1.0, 0.0], [0.0, 4.0], t=0) == [1, 0]
    assert merged(slerp, [1.0, 0.0], [0.0, 4.0], t=1) == [0, 4]
    close(merged(slerp, [1.0, 1.0], [3.0, 3.0], t=0.25), [1.5, 1.5])  # parallel: a straight line
    close(merged(slerp, [1.0, 1.0], [-3.0, -3.0], t=0.25), [0.0, 0.0])  # opposite too
    close(merged(slerp, [0.0, 0.0], [3.0, 3.0], t=0.5), [1.5, 1.5])  # no direction: a straight line
    with pytest.raises(UsageError, match=r"slerp: t is between 0 and 1, not 1\.2"):
        merged(slerp, [1.0], [2.0], t=1.2)
    with pytest.raises(UsageError, match="slerp merges exactly 2 models"):
        merged(slerp, [1.0], [2.0], [3.0])


def test_multislerp_by_hand() -> None:
    many = method("multislerp")
    assert merged(many, [1.0, 2.0]) == [1, 2]
    half = math.sqrt(0.5)
    close(merged(many, [3.0, 1.0], [1.0, 3.0], base=[1.0, 1.0]), [1 + 2 * half, 1 + 2 * half])
    close(merged(many, [1.0, 0.0], [-1.0, 0.0]), [0.0, 0.0])  # no middle: the straight sum
    close(merged(many, [2.0, 0.0], [-1.0, 0.0], [-1.0, 0.0], weight=[2, 1, 1]), [0.5, 0.0])
    case = case_of(many, [[1.0], [2.0]], weight=[1, -1])
    assert "add up to 0" in obstacle(many, case)


def test_multislerp_of_one_model_is_that_model_also_with_weights_that_nearly_cancel_out() -> None:
    same = np.float32([0.3, 1.0, 2.0, -0.7])
    result = merged(method("multislerp"), same, same, same, weight=[0.625, -1.90625, 1.296875])
    assert result == same.tolist()


def test_ties_by_hand() -> None:
    ties = method("ties")
    base = [0.0, 0.0, 0.0, 0.0]
    assert merged(ties, [4.0, -3.0, 1.0, 0.0], [2.0, 3.0, -2.0, 0.0], base=base) == [3, 3, -2, 0]
    assert merged(ties, [4.0, -3.0, 1.0, 0.0], base=base, density=0.5) == [4, -3, 0, 0]
    assert merged(ties, [1.0, 1.0, 1.0, 1.0], base=base, density=0.5) == [1, 1, 0, 0]  # of equals the first
    assert merged(ties, [4.0, -3.0], [2.0, 3.0], base=[0.0, 0.0], density=0) == [0, 0]
    assert merged(ties, [4.0, -3.0, 1.0, 2.0], base=base, density=0.01) == [4, 0, 0, 0]  # one at least
    assert merged(ties, [4.0, 1.0], [2.0, -4.0], base=[0.0, 0.0], weight=[1, 3], normalize=False) == [10, -12]
    assert merged(ties, [4.0, 1.0], base=[0.0, 0.0], **{"lambda": 0.5}) == [2, 0.5]
    assert merged(ties, [4.0, 1.0], base=[0.0, 0.0], density=0.5, rescale=True) == [5, 0]


def test_breadcrumbs_by_hand() -> None:
    crumbs = method("breadcrumbs")
    some, base = [5.0, -4.0, 3.0, 2.0, 1.0], [0.0] * 5
    assert merged(crumbs, some, base=base, density=0.4, gamma=0.2) == [0, -4, 3, 0, 0]
    assert merged(crumbs, some, base=base, density=0.6, gamma=0.01) == [
        5,
        -4,
        3,
        0,
        0,
    ]  # nothing to cut on top
    assert merged(crumbs, some, base=base, density=0.8, gamma=0.6) == [0, -4, 3, 2, 1]  # density goes first
    assert merged(crumbs, some, base=base, density=0.1, gamma=0.2) == base
    assert merged(crumbs, some, base=base, density=1, gamma=0.2) == some


def test_della_says_before_what_cannot_be() -> None:
    della = method("della")
    for density, epsilon, complaint in [
        (0.9, 0.15, "reaches beyond"),
        (0.5, 0.15, ""),
        (1, 0.5, ""),
        (0, 0.5, ""),
    ]:
        case = case_of(della, [[1.0]], base=[0.0], density=density, epsilon=epsilon)
        assert (complaint in obstacle(della, case)) == bool(complaint or not obstacle(della, case))
        assert bool(obstacle(della, case)) == bool(complaint)


def test_della_prefers_the_large() -> None:
    """Of the upper half more is kept than of the lower, on the average by ε."""
    size = 20_000
    moved = np.random.default_rng(1).permutation(np.arange(1, size + 1)).astype(np.float32)
    case = case_of(
        method("della_linear"), [moved], base=np.zeros(size), density=0.5, epsilon=0.2, rescale=False, seed=3
    )
    kept = result_of(method("della_linear"), case) != 0
    above = moved > size / 2
    assert kept.mean() == pytest.approx(0.5, abs=0.01)
    assert kept[above].mean() == pytest.approx(0.6, abs=0.015)
    assert kept[~above].mean() == pytest.approx(0.4, abs=0.015)


def test_a_long_row_is_ranked_by_a_histogram(monkeypatch: pytest.MonkeyPatch) -> None:
    from lepton_ai.history.merges import ranking

    moved = np.random.default_rng(1).standard_normal((3, 40_000)).astype(np.float32)
    case = case_of(
        method("della_linear"), [moved], base=np.zeros(moved.shape), density=0.5, epsilon=0.3, rescale=False
    )
    exactly = result_of(method("della_linear"), case) != 0
    monkeypatch.setattr(ranking, "LONG", 1000)
    nearly = result_of(method("della_linear"), case) != 0
    assert (exactly != nearly).mean() < 1e-3


def test_dare_keeps_the_share_and_the_sum_of_sizes() -> None:
    size = 50_000
    moved = np.random.default_rng(1).standard_normal(size).astype(np.float32)
    case = case_of(method("dare_linear"), [moved], base=np.zeros(size), density=0.3)
    result = result_of(method("dare_linear"), case)
    assert (result != 0).mean() == pytest.approx(0.3, abs=0.01)
    assert np.abs(result).sum() == pytest.approx(np.abs(moved).sum(), rel=1e-4)


def test_sce_by_hand() -> None:
    sce = method("sce")
    # Variances 1, 4, 0: of the two that are not zero, half is the second. There: weights 9 and 1 of 10, only + counts.
    close(merged(sce, [1.0, 3.0, 5.0], [-1.0, -1.0, 5.0], base=[0.0] * 3, select_topk=0.5), [0, 3, 0])
    assert merged(sce, [1.0, 3.0], [-1.0, -1.0], base=[0.0] * 2, select_topk=0) == [0, 0]


def test_model_stock_by_hand() -> None:
    stock = method("model_stock")
    assert merged(stock, [1.0, 0.0], [0.0, 1.0], base=[0.0, 0.0]) == [0, 0]  # at right angles: the base
    close(merged(stock, [2.0, 0.0], [4.0, 0.0], base=[0.0, 0.0]), [3.0, 0.0])  # the same way: the average
    assert merged(stock, [1.0, 0.0], [-1.0, 0.0], base=[0.0, 0.0]) == [0, 0]  # opposite: no estimate
    rows = merged(
        stock, [[2.0, 0.0], [1.0, 0.0]], [[4.0, 0.0], [0.0, 1.0]], base=[[0.0, 0.0]] * 2, filter_wise=True
    )
    close(rows, [[3.0, 0.0], [0.0, 0.0]])


def test_fisher_says_before_what_cannot_be() -> None:
    fisher = method("fisher")
    assert "needs a Fisher tensor" in obstacle(fisher, case_of(fisher, [[1.0], [2.0]]))
    other = case_of(fisher, [[1.0], [2.0]], aids={"fisher": [[1.0], [[1.0]]]})
    assert obstacle(fisher, other) == "its Fisher tensors are [1, 1] and [1], not [1]"
    given = {"fisher": [[1.0], [1.0]]}
    assert "negative" in obstacle(fisher, case_of(fisher, [[1.0], [2.0]], aids=given, weight=[-1, 3]))
    assert merged(fisher, [1.0], [4.0], aids=given, weight=[1, 2]) == [3]
    assert merged(fisher, [1.0], [4.0], aids={"fisher": [[-5.0], [1.0]]}) == [4]  # less than none is none


def test_regmean_by_hand() -> None:
    regmean = method("regmean")
    one, other = np.array([[2.0, 1.0], [1.0, 3.0]]), np.array([[1.0, 0.5], [0.5, 4.0]])
    grams = {"gram": [one, other]}
    left, right = np.array([[1.0, 2.0]]), np.array([[3.0, -1.0]])
    shrunk = [0.5 * gram + 0.5 * np.diag(np.diag(gram)) for gram in (one, other)]
    expected = (left @ shrunk[0] + right @ shrunk[1]) @ np.linalg.inv(shrunk[0] + shrunk[1])
    close(merged(regmean, left, right, aids=grams, alpha=0.5), expected)
    close(merged(regmean, left.T, right.T, aids=grams, alpha=0.5, inputs_first=True), expected.T)
    nothing = {"gram": [np.zeros((2, 2)), np.zeros((2, 2))]}
    close(merged(regmean, left, right, aids=nothing), [[2.0, 0.5]])  # no input ever: the average
    assert merged(regmean, [1.0], [3.0]) == [2]
    assert "needs the Gram matrix" in obstacle(regmean, case_of(regmean, [left, right]))
    wrong = case_of(regmean, [left, right], aids=grams, inputs_first=True)
    assert obstacle(regmean, wrong) == "its Gram matrices are [2, 2], not [1, 1]"


def test_regmean_of_many_outputs_is_that_of_few() -> None:
    random = np.random.default_rng(4)
    weights = random.standard_normal((2, 150, 6))
    seen = random.standard_normal((2, 20, 6))
    grams = {"gram": [one.T @ one for one in seen]}
    regmean = method("regmean")
    whole = np.array(merged(regmean, *weights, aids=grams))
    case = case_of(regmean, list(weights), aids=grams)
    close(regmean.prepare(case)(6 * 70 + 2, 6 * 71), whole[70, 2:])


def test_the_page_has_every_method_with_its_parameters() -> None:
    page = (Path(__file__).parents[2] / "docs" / "merge-methods.md").read_text(encoding="utf-8")
    table = page.partition("\n## ")[0].splitlines()
    rows = {line.split("`")[1]: line.split("|") for line in table if line.startswith("| `")}
    ours = [name for name in names() if type(method(name)).__module__.startswith("lepton_ai.")]
    assert sorted(rows) == sorted(ours)
    for name, row in rows.items():
        told = row[5]
        if "as `" in told:
            told += rows[told.split("`")[1]][5]
        assert [p.name for p in method(name).parameters if f"`{p.name}`" not in told] == []
        assert (row[3].strip() == "yes") == method(name).needs_base
        assert method(name).source in row[6]
