"""Merging branches that went different ways."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load, save

from lepton_ai import errors
from lepton_ai.history.merging import assemble
from lepton_ai.repository import ModelRepository

from .merged import Models, arrays_of, same

RNG = np.random.default_rng(5)
W = {name: RNG.normal(size=(40, 30)).astype(np.float32) for name in ("a", "b", "c")}


def w(**changes: float) -> dict[str, np.ndarray[Any, Any]]:
    """The weights, with something added to some of them."""
    return {name: array + np.float32(changes.get(name, 0)) for name, array in W.items()}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Models]:
    models = Models(tmp_path)
    yield models
    models.repo.close()


def refused(made: Models, match: str, **asked: Any) -> None:
    """A merge that is refused, and leaves everything as it was."""
    before = [(b.name, b.head) for b in made.repo.branches()], len(made.repo.log())
    with pytest.raises(errors.Diverged, match=match):
        made.repo.merge_branch("side", **asked)
    assert ([(b.name, b.head) for b in made.repo.branches()], len(made.repo.log())) == before
    assert not made.repo.preview_merge("side", **asked).possible
    left = [path for path in (made.repo.home.place / "tmp").rglob("*") if path.is_file()]
    assert left == []


def test_a_conflict_without_a_method_is_refused_and_named(made: Models) -> None:
    made.parted(w(), w(a=1, b=1), w(b=2))
    refused(made, r"side@v2 cannot be merged into 'main' yet: they conflict in 1 tensor: b")


def test_the_version_tells_what_was_done(made: Models) -> None:
    made.parted(w(), w(a=1, b=1), w(b=3, c=1))
    merged = made.merge(method="linear", weights=[1, 3], message="both")
    assert merged.parents == (made.repo.version("main@v2").id, made.repo.version("side@v2").id)
    assert merged.operation.kind == "merge"
    assert merged.message == "both"
    done = merged.merged
    assert done is not None
    assert [(t.name, t.outcome, t.method) for t in done.tensors] == [
        ("a", "ours", ""), ("b", "merged", "linear"), ("c", "theirs", ""),
    ]  # fmt: skip
    assert done.tensors[1].parameters == {"weight": [1, 3], "normalize": True}
    np.testing.assert_allclose(merged.tensor("b"), W["b"] + 2.5, rtol=1e-6)
    assert made.repo.version("main").merged == done
    assert made.repo.version("side").merged is None


def test_rules_choose_by_name_and_the_last_that_fits_counts(made: Models) -> None:
    made.parted(w(), w(a=1, b=1, c=1), w(a=2, b=2, c=2))
    merged = made.merge(method="linear", rules=["*=ours", "b=theirs", ("c", "linear", {"weight": [0, 1]})])
    assert same(arrays_of(merged), {"a": w(a=1)["a"], "b": w(b=2)["b"], "c": w(c=2)["c"]})


def test_everywhere_goes_beyond_conflicts(made: Models) -> None:
    made.parted(w(), w(a=1), w(b=2))
    merged = made.merge(method="linear", everywhere=True)
    np.testing.assert_allclose(merged.tensor("a"), W["a"] + 0.5, rtol=1e-4)
    np.testing.assert_allclose(merged.tensor("b"), W["b"] + 1, rtol=1e-4)
    assert made.repo.replay_merge(merged)
    assert merged.merged is not None
    assert [tensor.why for tensor in merged.merged.tensors] == ["changed on one side"] * 2


def test_integers_are_not_computed_with(made: Models) -> None:
    ids = np.arange(300)
    made.parted({"ids": ids}, {"ids": ids + 1}, {"ids": ids + 2})
    refused(made, r"linear cannot compute with int64", method="linear")
    assert (made.merge(method="linear", on_conflict="theirs").tensor("ids") == ids + 2).all()


def test_a_base_is_taken_bit_for_bit(made: Models) -> None:
    ids = np.arange(300)
    made.parted({"ids": ids, **w()}, {"ids": ids + 1, **w(a=1)}, {"ids": ids + 2, **w(a=2)})
    merged = made.merge(method="base")
    assert same(arrays_of(merged), {"ids": ids, **w()})


def test_other_shapes_are_in_conflict(made: Models) -> None:
    wide = {**w(), "b": np.zeros((41, 30), np.float32)}
    made.parted(w(), wide, w(b=1))
    refused(made, r"b.*another shape", method="linear")
    assert made.merge(on_conflict="ours").tensor("b").shape == (41, 30)


def test_a_tensor_that_one_side_added_comes_along(made: Models) -> None:
    """Theirs carries the file then, since ours has no room for it."""
    head = {"head": np.ones((9, 30), np.float32)}
    made.parted(w(), w(a=1), {**w(b=2), **head})
    assert same(arrays_of(made.merge()), {**w(a=1, b=2), **head})


def test_a_tensor_that_one_side_removed_is_gone(made: Models) -> None:
    fewer = {name: array for name, array in w(b=2).items() if name != "c"}
    made.parted(w(), w(a=1), fewer)
    assert same(arrays_of(made.merge()), {"a": w(a=1)["a"], "b": w(b=2)["b"]})


def test_both_sides_changed_which_tensors_there_are(made: Models) -> None:
    one, other = ({**w(), name: np.ones(300, np.float32)} for name in ("x", "y"))
    made.parted(w(), one, other)
    refused(made, "y: added on one side")
    assert "x" in arrays_of(made.merge(on_conflict="ours"))


def test_a_retyped_file_takes_the_other_side_rounded(made: Models) -> None:
    half = {name: array.astype(np.float16) for name, array in w().items()}
    made.parted(w(), half, w(b=1))
    refused(made, "another type")
    merged = made.merge(method="take_theirs")
    assert merged.tensor("b").dtype == np.float16
    assert (merged.tensor("b") == w(b=1)["b"].astype(np.float16)).all()


def test_crosswise_merges(made: Models) -> None:
    """Each side answered the question of b otherwise before: nobody's answer wins silently."""
    made.parted(w(), w(b=1), w(b=2))
    repo = made.repo
    repo.create_branch("kept", "main")
    made.merge("side", "main", on_conflict="ours")
    repo.merge_branch("kept", "side", on_conflict="ours")
    made.save(w(a=1, b=1), "main")
    found = repo.preview_merge("side")
    assert len(found.bases) == 2
    assert [conflict.name for conflict in found.conflicts] == ["b"]
    assert "several common ancestors" in found.notes[0]
    assert same(arrays_of(made.merge(on_conflict="theirs")), w(a=1, b=2))


def test_several_at_once(made: Models) -> None:
    made.save(w())
    for name, arrays in (("one", w(a=1, b=1)), ("two", w(b=4)), ("three", w(c=3, b=1))):
        made.save(arrays, "main" if name == "main" else name)
    repo = made.repo
    with pytest.raises(errors.Diverged, match="b"):
        repo.merge_versions(["one", "two", "three"])
    merged = repo.merge_versions(["one", "two", "three"], method="linear", message="soup")
    assert len(merged.parents) == 4  # main's newest, from which the three came, too
    np.testing.assert_allclose(merged.tensor("b"), W["b"] + 2, rtol=1e-4)
    assert same({"a": merged.tensor("a"), "c": merged.tensor("c")}, {"a": w(a=1)["a"], "c": w(c=3)["c"]})
    assert repo.replay_merge(merged)


def test_a_configuration_of_mergekit(made: Models, tmp_path: Path) -> None:
    made.save(w())
    for name, arrays in (("one", w(a=1, b=1)), ("two", w(b=4))):
        made.save(arrays, name)
    config = tmp_path / "merge.yml"
    config.write_text(
        "merge_method: task_arithmetic\nbase_model: main@v1\n"
        "models:\n  - model: one\n    parameters: {weight: [{filter: a, value: 2}, {value: 0.5}]}\n"
        "  - model: two\n    parameters: {weight: 0.25}\n"
    )
    versions, asked = made.repo.read_merge_config(config)
    assert versions == ["one", "two"]
    assert made.repo.preview_merge(versions, **asked).possible
    merged = made.repo.merge_versions(versions, **asked)
    np.testing.assert_allclose(merged.tensor("a"), W["a"] + 2, rtol=1e-4)
    np.testing.assert_allclose(merged.tensor("b"), W["b"] + 1.5, rtol=1e-4)
    assert made.repo.replay_merge(merged)
    with pytest.raises(errors.UsageError, match="2 models"):
        made.repo.read_merge_config(config, ["one"])
    assert made.repo.read_merge_config(config, ["two", "one"])[1]["base"] is None
    made.save(w(c=5), "main")
    with pytest.raises(errors.UsageError, match="none of the models"):
        made.repo.merge_versions(["one", "two"], **asked)


def test_fisher_tensors_are_versions_of_their_own(made: Models) -> None:
    made.parted(w(), w(a=1), w(a=3))
    for name, certain in (("f1", 3.0), ("f2", 1.0)):
        made.repo.create_branch(name)
        made.save({name: np.full_like(array, certain) for name, array in W.items()}, name)
    refused(made, r"fisher needs a Fisher tensor for each model \(--aid fisher=", method="fisher")
    merged = made.merge(method="fisher", aids={"fisher": ["f1", "f2"]})
    np.testing.assert_allclose(merged.tensor("a"), W["a"] + 1.5, rtol=1e-4, atol=1e-6)
    assert made.repo.replay_merge(merged)


def test_a_base_of_another_shape_cannot_be_taken(made: Models) -> None:
    tall = {"b": np.zeros((41, 30), np.float32)}
    made.parted(w(), {**w(), **tall}, {**w(), "b": tall["b"] + 1})
    refused(made, "b: .*another shape", method="base")


def test_another_format_and_name_on_the_other_side(made: Models, tmp_path: Path) -> None:
    made.parted(w(), w(a=1), w(b=2))
    buffer = io.BytesIO()
    np.savez(buffer, **w(b=5))
    (tmp_path / "model_v7.npz").write_bytes(buffer.getvalue())
    made.repo.save_files(tmp_path / "model_v7.npz", "side")
    merged = made.merge()
    assert [file.path for file in merged.files] == ["model.safetensors"]
    assert same(arrays_of(merged), w(a=1, b=5))


def test_files_without_tensors(made: Models, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    folder.mkdir()

    def saved(config: str, notes: str, branch: str, **changes: float) -> None:
        (folder / "model.safetensors").write_bytes(save(w(**changes)))
        (folder / "config.json").write_text(config)
        (folder / "notes.txt").write_text(notes)
        made.repo.save_files(folder, branch)

    saved('{"a": 1, "b": 1}\n', "one\n", "main")
    made.repo.create_branch("side")
    saved('{"a": 2, "b": 1}\n', "two\n", "main", a=1)
    saved('{"a": 1, "b": 3}\n', "three\n", "side", b=1)
    refused(made, r"in 1 file: notes\.txt")
    merged = made.merge(on_conflict="theirs")
    out = tmp_path / "out"
    merged.checkout(out)
    assert (out / "config.json").read_text() == '{"a": 2, "b": 3}\n'
    assert (out / "notes.txt").read_text() == "three\n"
    assert same(load((out / "model.safetensors").read_bytes()), w(a=1, b=1))


def test_a_header_that_theirs_alone_changed_is_kept(made: Models, tmp_path: Path) -> None:
    made.parted(w(), w(a=1), w())
    file = tmp_path / "model.safetensors"
    file.write_bytes(save(w(b=2), {"epoch": "7"}))
    made.repo.save_files(file, "side")
    merged = made.merge()
    merged.checkout(tmp_path / "out")
    assert b'"epoch":"7"' in (tmp_path / "out" / "model.safetensors").read_bytes()
    assert same(arrays_of(merged), w(a=1, b=2))


def test_params_by_key_and_no_metrics_that_nobody_measured(made: Models) -> None:
    made.save(w(), params={"lr": 1, "epochs": 3})
    made.repo.create_branch("side")
    made.save(w(a=1), params={"lr": 2, "epochs": 3}, metrics={"accuracy": 0.9})
    made.save(w(b=1), "side", params={"lr": 1, "epochs": 5}, metrics={"accuracy": 0.8})
    merged = made.merge()
    assert merged.params == {"lr": 2, "epochs": 5}
    assert merged.metrics == {}
    assert any("metrics (accuracy)" in note for note in merged.notes)


def test_what_was_trained_where_stays_known(made: Models) -> None:
    made.parted(w(), w(a=1), w(b=1))
    before = made.repo.version("main").environment
    assert before is not None
    assert made.merge().environment == before
    assert not made.repo.diff("main@v2", "main").environment


def test_without_fast_forward_a_version_is_made(made: Models) -> None:
    made.save(w())
    made.repo.create_branch("side")
    made.save(w(a=1), "side")
    assert made.repo.preview_merge("side", fast_forward=False).way == "take"
    assert made.repo.preview_merge("side").way == "fast-forward"
    merged = made.merge(fast_forward=False)
    assert (merged.name, len(merged.parents)) == ("v2", 2)
    assert merged.content_id == made.repo.version("side").content_id
    assert made.repo.merge_branch("side") is None
    assert made.repo.preview_merge("side").way == "nothing"
    assert made.repo.merge_branch("main") is None


def test_a_base_that_gc_freed_is_named(made: Models) -> None:
    made.parted(w(), w(a=1), w(b=1))
    made.repo.delete_version("main@v1")
    assert same(arrays_of(made.merge()), w(a=1, b=1))
    made.save(w(a=2, b=1))
    made.save(w(b=7), "side")
    made.repo.delete_version("side@v2")
    made.repo.gc(grace=0)
    with pytest.raises(errors.NotFound, match="gc has freed"):
        made.repo.merge_branch("side")
    assert same(arrays_of(made.merge(base="main@v3", on_conflict="theirs")), w(b=7))


def test_somebody_saves_meanwhile(made: Models, monkeypatch: pytest.MonkeyPatch) -> None:
    """The merge begins anew, upon what is there now."""
    made.parted(w(), w(a=1), w(b=1))
    real, once = assemble.files, [True]

    def files(*given: Any) -> Any:
        if once:
            once.clear()
            with ModelRepository(made.repo.path, author="bert") as other:
                (made.folder / "model.safetensors").write_bytes(save(w(a=1, c=9)))
                other.save_files(made.folder / "model.safetensors", "main")
        return real(*given)

    monkeypatch.setattr(assemble, "files", files)
    merged = made.merge()
    assert merged.name == "v4"
    assert same(arrays_of(merged), w(a=1, b=1, c=9))


@pytest.mark.parametrize(
    ("asked", "match"),
    [
        ({"method": "mean"}, "no merge method 'mean'"),
        ({"method": "linear", "parameters": {"speed": 1}}, "no parameter 'speed'"),
        ({"method": "linear", "weights": [1, 2, 3]}, "3 values for 2 models"),
        ({"rules": ["lm_head"]}, "is no rule"),
        ({"everywhere": True}, "no method is named"),
        ({"seed": -1}, "whole number"),
        ({"wieghts": [1]}, "knows no 'wieghts'"),
    ],
)
def test_what_cannot_be_asked_is_told_before_anything_happens(
    made: Models, asked: dict[str, Any], match: str
) -> None:
    made.parted(w(), w(a=1), w(a=2))
    before = len(made.repo.log())
    with pytest.raises(errors.UsageError, match=match):
        made.repo.merge_branch("side", **asked)
    assert len(made.repo.log()) == before


@pytest.mark.parametrize("small", [np.float16, ml_dtypes.float8_e4m3fn])
def test_what_overflows_is_called_out(made: Models, small: Any) -> None:
    """Of fp16 it becomes infinite, of fp8 NaN; what a model has there already is its own."""
    top = float(ml_dtypes.finfo(small).max)
    base, ours, theirs = (np.full((3, 700_000), value, small) for value in (0, top, top))
    ours[0, 0], theirs[2, 1] = np.nan, np.nan
    made.parted({"w": base, "x": base}, {"w": ours, "x": base}, {"w": theirs, "x": theirs})
    merged = made.merge(method="task_arithmetic", parameters={"weight": 1.0, "normalize": False})
    done = merged.merged
    assert done is not None
    finite = np.isfinite(ours) & np.isfinite(theirs)
    found = merged.tensor("w")[finite]
    assert done.tensors[0].introduced_nan == np.count_nonzero(np.isnan(found))
    assert done.tensors[0].introduced_inf == np.count_nonzero(np.isinf(found))
    assert done.tensors[0].introduced_nan + done.tensors[0].introduced_inf == 2_100_000 - 2
    assert [one.name for one in done.introduces] == ["w"]
    what = "Inf" if small is np.float16 else "NaN"
    assert merged.notes[0] == f"the merge introduces 2099998 {what}: w (2099998 {what})"
    assert made.repo.replay_merge(merged)


def test_what_is_too_large_for_the_other_sides_type_is_called_out(made: Models) -> None:
    half = {name: array.astype(np.float16) for name, array in w().items()}
    made.parted(w(), half, {**w(), "b": np.full((40, 30), 1e6, np.float32)})
    done = made.merge(method="take_theirs").merged
    assert done is not None
    assert [(t.name, t.introduced_nan, t.introduced_inf) for t in done.introduces] == [("b", 0, 1200)]


def test_what_the_models_have_already_came_in_with_them(made: Models) -> None:
    there = w(a=1)
    there["a"][0, 0] = np.nan
    made.parted(w(), there, w(a=2))
    merged = made.merge(method="linear")
    assert np.isnan(merged.tensor("a")[0, 0])
    assert not merged.merged.introduces
    assert not [note for note in merged.notes if "introduces" in note]
