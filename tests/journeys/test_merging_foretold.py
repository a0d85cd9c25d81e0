"""What a dry run says is what the merge then does; and what several versions have to do with each other is said."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from lepton_ai import errors
from lepton_ai.repository import ModelRepository
from tests.journeys.merged import Arrays, Models, arrays_of


def of(**values: float) -> Arrays:
    return {name: np.full(8, value, np.float32) for name, value in values.items()}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Models]:
    models = Models(tmp_path)
    yield models
    models.repo.close()


@pytest.fixture
def parted(made: Models) -> Models:
    made.parted(of(a=1, b=1), of(a=2, b=1), of(a=3, b=1))
    return made


def two_from_main(made: Models) -> ModelRepository:
    """one and two went different ways from what main stands on."""
    made.save(of(a=1, b=1))
    for name in ("one", "two"):
        made.repo.create_branch(name)
    made.save(of(a=2, b=1), "one")
    made.save(of(a=4, b=1), "two")
    return made.repo


class TestForetold:
    def test_a_merge_in_progress_is_in_the_way(self, parted: Models) -> None:
        with pytest.raises(errors.Diverged):
            parted.repo.merge_branch("side", on_conflict="stop")
        for preview in (
            parted.repo.preview_merge("side", on_conflict="ours"),
            parted.repo.preview_merge("main"),
            parted.repo.preview_merge(["side"], on_conflict="ours"),
        ):
            assert not preview.possible
            assert "a merge is in progress: side into main" in preview.obstacles[0]

    def test_moving_forward_with_names_that_clash_makes_a_version(self, made: Models) -> None:
        made.save(of(a=1), name="first")
        made.repo.create_branch("side")
        made.save(of(a=2), "side", name="second")
        made.save(of(a=3), name="second")
        made.repo.delete_version("second", "main")
        assert made.repo.preview_merge("side").way == "take"
        made.merge()
        assert len(made.repo.version("main").parents) == 2

    def test_an_evaluation_that_can_be_done(self, parted: Models) -> None:
        preview = parted.repo.preview_merge("side", evaluate="true", candidates=["ours", "fisher"])
        assert preview.possible
        assert any(note.startswith("fisher cannot be tried") for note in preview.notes)
        assert any(note.endswith("decided by trying ours") for note in preview.notes)

    def test_an_evaluation_that_cannot(self, parted: Models) -> None:
        assert not parted.repo.preview_merge("side", evaluate="true", candidates=["fisher"]).possible
        with pytest.raises(errors.NotFound, match="no merge method"):
            parted.repo.preview_merge("side", evaluate="true", candidates=["nosuch"])

    def test_code_that_git_cannot_merge(
        self, made: Models, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)  # where there is no checkout
        made.parted(of(a=1), of(a=2), of(a=3))
        preview = made.repo.preview_merge("side", on_conflict="ours", with_code=True)
        assert not preview.possible
        assert "does not say which code" in preview.obstacles[0]

    def test_code_and_people_do_not_go_together(self, parted: Models) -> None:
        with pytest.raises(errors.UsageError, match="waits for people merges no code"):
            parted.repo.merge_branch("side", on_conflict="stop", with_code=True)

    def test_a_disk_that_is_full(self, parted: Models, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("lepton_ai.history.checkout.RESERVE", 1 << 62)
        preview = parted.repo.preview_merge("side", on_conflict="linear")
        assert not preview.possible
        assert "MiB free" in preview.obstacles[0]

    def test_a_file_where_the_other_has_a_folder(self, made: Models, tmp_path: Path) -> None:
        for branch, name in (("main", ""), ("main", "notes"), ("side", "notes/day")):
            folder = tmp_path / (name.replace("/", "-") or "start")
            place = folder / (name or "readme")
            place.parent.mkdir(parents=True)
            place.write_text(name)
            (folder / "readme").write_text("")
            if branch == "side":
                made.repo.create_branch("side", "v1")
            made.repo.save_files(folder, branch)
        preview = made.repo.preview_merge("side")
        assert preview.obstacles == ("'notes' would be a file and a folder",)
        with pytest.raises(errors.Diverged, match="would be a file and a folder"):
            made.merge()

    def test_what_the_version_carries(self, made: Models) -> None:
        made.save(of(a=1, b=1), params={"lr": 1})
        made.repo.create_branch("side")
        made.save(of(a=2, b=1), params={"lr": 2}, metrics={"loss": 1})
        made.save(of(a=1, b=2), "side", params={"lr": 3})
        foretold = made.repo.preview_merge("side").notes
        assert "params lr was changed on both sides: ours stays" in foretold
        assert any(note.startswith("metrics (loss)") for note in foretold)
        assert set(made.merge().notes) >= set(foretold)

    def test_no_more_is_read_than_there_is(self, parted: Models) -> None:
        preview = parted.repo.preview_merge("side", method="ties", everywhere=True)
        assert preview.counts["merged"] == 1
        assert (preview.to_read, preview.total) == (3 * 32, 3 * 64)

    def test_a_rule_that_fits_nothing(self, parted: Models) -> None:
        notes = parted.repo.preview_merge("side", method="linear", rules=["haed.*=ours", "a=ours"]).notes
        assert [note for note in notes if "rule" in note] == ["the rule haed.*=take_ours fits no tensor"]


class TestContained:
    def test_what_another_comes_from_is_no_model(self, made: Models) -> None:
        repo = two_from_main(made)
        repo.create_branch("more", "one")
        made.save(of(a=2, b=5), "more")
        preview = repo.preview_merge(["one", "more", "two"], method="linear")
        assert preview.models == ("more@v3", "two@v2")
        assert preview.notes == (
            "more@v3 counts as ours: main@v1, on which main stands, is contained in it",
            "one@v2 is contained in more@v3: it counts as no model of its own",
        )
        merged = repo.merge_versions(["one", "more", "two"], method="linear")
        assert merged is not None
        assert preview.notes[1] in merged.notes

    def test_weights_say_for_which_models(self, made: Models) -> None:
        repo = two_from_main(made)
        with pytest.raises(errors.UsageError, match=r"3 values for 2 models: one@v2, two@v2"):
            repo.preview_merge(["one", "two"], method="linear", weights=[1, 1, 1])

    def test_nothing_new(self, made: Models) -> None:
        repo = two_from_main(made)
        assert repo.merge_versions(["one", "two"], method="linear") is not None
        assert repo.merge_versions(["one", "two"], method="linear") is None
        assert repo.preview_merge(["one", "two"], method="linear").way == "nothing"

    def test_one_has_all(self, made: Models) -> None:
        """Also an older version of a branch, to which no branch points."""
        repo = two_from_main(made)
        older = repo.version("one")
        made.save(of(a=9, b=9), "one")
        preview = repo.preview_merge([older.address, "v1"])
        assert (preview.way, preview.models) == ("take", ("one@v2",))
        merged = repo.merge_versions([older.address, "v1"])
        assert merged is not None
        assert merged.content_id == older.content_id
        assert repo.branch("main").head == merged

    @pytest.mark.parametrize("decide", ["method", "side"])
    def test_a_merge_that_waits_has_the_same_models(self, made: Models, decide: str) -> None:
        repo = two_from_main(made)
        with pytest.raises(errors.Diverged, match="waits for 1 decision"):
            repo.merge_versions(["one", "two"], on_conflict="stop")
        waiting = repo.merge_in_progress()
        assert {side: [one.address for one in found] for side, found in waiting.sides.items()} == {
            "ours": ["one@v2"], "theirs": ["two@v2"], "base": ["main@v1"],
        }  # fmt: skip
        steps: dict[str, tuple[Callable[[], object], float]] = {
            "method": (lambda: waiting.resolve("a", method="linear:weight=3/1"), 2.5),
            "side": (lambda: waiting.resolve("a", "ours"), 2.0),
        }
        step, expected = steps[decide]
        step()
        assert arrays_of(waiting.finish())["a"][0] == expected
