"""Programs that judge candidates: what they print, what they are given, which one is kept."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lepton_ai.errors import UsageError
from lepton_ai.history.merging.evaluation import VARIABLE, Score, best, judge, read, score


class TestRead:
    @pytest.mark.parametrize(
        ("printed", "metric", "expected"),
        [
            ('{"accuracy": 0.9}\n', "", ("accuracy", 0.9)),
            ('{"accuracy": 0.1}\n{"accuracy": 0.9}\nbye\n', "", ("accuracy", 0.9)),
            ('{"accuracy": 0.9, "loss": 1}', "loss", ("loss", 1.0)),
            ('{"name": "x", "ok": true, "f1": 1e-3}', "", ("f1", 0.001)),
            ("0.75\n", "", ("metric", 0.75)),
            ("0.75\n", "accuracy", ("accuracy", 0.75)),
            ("epoch=1\naccuracy=0.5\naccuracy = 0.9\n", "accuracy", ("accuracy", 0.9)),
            ("accuracy: 0.9", "", ("accuracy", 0.9)),
            ("eval/top-1=0.5", "", ("eval/top-1", 0.5)),
            ('accuracy=0.9\n{"seed": 3}\n', "accuracy", ("accuracy", 0.9)),
            ("loss=inf", "", ("loss", float("inf"))),
        ],
    )
    def test_the_number_is_found(self, printed: str, metric: str, expected: tuple[str, float]) -> None:
        assert read(printed, metric) == expected

    @pytest.mark.parametrize(
        ("printed", "metric", "said"),
        [
            ("", "", "no metric"),
            ("done\n", "", "no metric"),
            ("loss=1", "accuracy", "no metric 'accuracy'"),
            ("a=1\nb=2", "", "several metrics: a, b"),
            ('{"a": 1, "b": 2}', "", "several metrics: a, b"),
            ("a=fast", "", "no metric"),
            ("true", "", "no metric"),
        ],
    )
    def test_what_is_not_clear_is_told(self, printed: str, metric: str, said: str) -> None:
        with pytest.raises(UsageError) as caught:
            read(printed, metric)
        assert said in caught.value.message


class TestScore:
    def test_the_program_gets_the_folder_both_ways(self, tmp_path: Path) -> None:
        folder = tmp_path / "a b'c"
        folder.mkdir()
        (folder / "value").write_text("0.25")
        for command in ("cat {dir}/value", "cat '{dir}'/value", f'cat "${VARIABLE}"/value'):
            assert score(judge(command), "ours", folder) == Score("ours", "metric", 0.25)

    def test_pipes_and_quotes_are_the_shells(self, tmp_path: Path) -> None:
        assert score(judge("printf 'x=%s\\n' 7 | tail -1"), "ours", tmp_path).value == 7

    def test_a_failing_program_fails_the_candidate(self, tmp_path: Path) -> None:
        failed = score(judge("echo no weights here >&2; exit 3"), "ours", tmp_path)
        assert (failed.value, failed.failure) == (None, "it ended with 3: no weights here")

    def test_no_number_and_no_sensible_number(self, tmp_path: Path) -> None:
        assert score(judge("echo fine"), "ours", tmp_path).failure == "it printed no metric"
        assert score(judge("echo loss=nan"), "ours", tmp_path).failure == "loss is not a number"

    def test_it_cannot_wait_for_input(self, tmp_path: Path) -> None:
        command = f"{sys.executable} -c 'import sys; print(len(sys.stdin.read()))'"
        assert score(judge(command), "ours", tmp_path).value == 0


class TestBest:
    SCORES = (
        Score("ours", "accuracy", 0.5),
        Score("theirs", "accuracy", 0.9),
        Score("linear", "accuracy", 0.9),
    )

    def test_the_highest_and_of_equals_the_first(self) -> None:
        assert best(judge("x"), self.SCORES).candidate == "theirs"
        assert best(judge("x", best="lowest"), self.SCORES).candidate == "ours"

    @pytest.mark.parametrize("name", ["loss", "val_loss", "top1_error", "Perplexity", "eval-mse", "WER"])
    def test_less_is_better_for_what_is_lost(self, name: str) -> None:
        scores = [Score("ours", name, 2.0), Score("theirs", name, 1.0)]
        assert best(judge("x"), scores).candidate == "theirs"
        assert best(judge("x", best="highest"), scores).candidate == "ours"

    @pytest.mark.parametrize("name", ["accuracy", "f1", "answer", "power", "same"])
    def test_more_is_better_for_the_rest(self, name: str) -> None:
        assert best(judge("x"), [Score("ours", name, 2.0), Score("theirs", name, 1.0)]).candidate == "ours"

    def test_failed_ones_are_passed_over(self) -> None:
        assert (
            best(judge("x"), [Score("ours", failure="it ended with 1"), Score("b", "a", -3.0)]).candidate
            == "b"
        )

    def test_all_failed(self) -> None:
        with pytest.raises(UsageError, match="ours: it ended with 1"):
            best(judge("x"), [Score("ours", failure="it ended with 1")])

    def test_what_cannot_be_asked(self) -> None:
        with pytest.raises(UsageError, match="empty"):
            judge("  ")
        with pytest.raises(UsageError, match="highest or lowest"):
            judge("x", best="most")
