"""What a merged version says of itself."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from lepton_ai.history.merging.metadata import Clash, by_key, merge
from lepton_ai.types import Attachment, Dataset, Operation, Record


def record(**carried: Any) -> Record:
    return Record(
        name="v1",
        branch="main",
        author="Ada",
        created_at="",
        operation=Operation("save"),
        files=(),
        **carried,
    )


def params(base: dict[str, Any], *sides: dict[str, Any]) -> tuple[dict[str, Any], tuple[Clash, ...]]:
    merged = merge(record(params=base), [record(params=side) for side in sides])
    return merged.params, merged.clashes


class TestParams:
    def test_each_side_changes_another_key(self) -> None:
        assert params({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 3, "c": 4}) == (
            {"a": 2, "b": 3, "c": 4},
            (),
        )

    def test_a_key_that_one_side_removed_is_gone(self) -> None:
        assert params({"a": 1, "b": 1}, {"b": 1}, {"a": 1, "b": 1}) == ({"b": 1}, ())

    def test_a_clash_is_listed_and_ours_stands(self) -> None:
        assert params({"a": 1}, {"a": 2}, {"a": 3}) == ({"a": 2}, (Clash("params", "a", 1, (2, 3)),))

    def test_removed_here_and_changed_there_is_a_clash(self) -> None:
        assert params({"a": 1}, {}, {"a": 3}) == ({}, (Clash("params", "a", 1, (None, 3)),))

    def test_depths_are_merged_too(self) -> None:
        merged = params({"o": {"lr": 1, "b": 2}}, {"o": {"lr": 5, "b": 2}}, {"o": {"lr": 6, "b": 3}})
        assert merged == ({"o": {"lr": 5, "b": 3}}, (Clash("params", "o.lr", 1, (5, 6)),))

    def test_true_is_not_one(self) -> None:
        assert params({"a": 0}, {"a": 1}, {"a": True})[1] == (Clash("params", "a", 0, (1, True)),)

    def test_more_than_two_sides(self) -> None:
        merged, clashes = params({"a": 1, "b": 1}, {"a": 2, "b": 1}, {"a": 1, "b": 1}, {"a": 1, "b": 5})
        assert (merged, clashes) == ({"a": 2, "b": 5}, ())

    def test_without_a_base(self) -> None:
        merged = merge(None, [record(params={"a": 1, "b": 1}), record(params={"a": 1, "c": 2})])
        assert (merged.params, merged.clashes) == ({"a": 1, "b": 1, "c": 2}, ())

    @given(
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 2)),
    )
    def test_a_side_that_is_the_base_changes_nothing(
        self, base: dict[str, int], other: dict[str, int]
    ) -> None:
        for sides in ([base, other], [other, base], [other, other]):
            assert by_key(base, sides, "params", clashes := []) == other
            assert not clashes


class TestMetrics:
    OURS = record(metrics={"accuracy": 0.9}, training=Attachment("ab", 1))
    THEIRS = record(metrics={"accuracy": 0.9, "loss": 0.2})

    def test_none_carries_over_to_weights_that_nobody_measured(self) -> None:
        merged = merge(None, [self.OURS, self.THEIRS])
        assert (merged.metrics, merged.training) == ({}, None)
        assert [line.split(":")[0] for line in merged.left_out] == [
            "metrics (accuracy, loss)",
            "training curves",
        ]

    def test_those_of_the_parent_whose_files_they_are_hold(self) -> None:
        merged = merge(None, [self.OURS, self.THEIRS], same_as=1)
        assert (merged.metrics, merged.training, merged.left_out) == (
            {"accuracy": 0.9, "loss": 0.2},
            None,
            (),
        )
        assert merge(None, [self.OURS, self.THEIRS], same_as=0).training == Attachment("ab", 1)

    def test_nothing_is_said_where_nothing_was_measured(self) -> None:
        assert merge(None, [record(), record()]).left_out == ()


class TestDataset:
    def of(
        self, base: Dataset | None, ours: Dataset | None, theirs: Dataset | None
    ) -> tuple[Dataset | None, list[str]]:
        merged = merge(record(dataset=base), [record(dataset=ours), record(dataset=theirs)])
        return merged.dataset, [clash.key for clash in merged.clashes]

    def test_the_side_that_has_other_data(self) -> None:
        a, b = Dataset("a", digest="1", rows=5), Dataset("b", digest="2", rows=6)
        assert self.of(a, a, b) == (b, [])
        assert self.of(a, b, a) == (b, [])
        assert self.of(None, None, None) == (None, [])
        assert self.of(None, None, b) == (b, [])

    def test_two_datasets_are_never_mixed_to_a_third(self) -> None:
        a = Dataset("a", digest="1", rows=5)
        assert self.of(a, Dataset("b", digest="1", rows=5), Dataset("a", digest="2", rows=5)) == (
            Dataset("b", digest="1", rows=5),
            ["data"],
        )

    def test_preparation_and_the_rest_by_themselves(self) -> None:
        a = Dataset("a", extra={"seed": 1})
        ours, theirs = (
            Dataset("a", preprocessing=("lower",), extra={"seed": 1}),
            Dataset("b", extra={"seed": 1, "k": 2}),
        )
        assert self.of(a, ours, theirs) == (
            Dataset("b", preprocessing=("lower",), extra={"seed": 1, "k": 2}),
            [],
        )


def test_clashes_can_be_kept_as_json() -> None:
    clash = params({}, {"a": [1, {"b": None}]}, {"a": "x"})[1][0]
    assert json.dumps([clash.base, clash.sides])
