"""checkout, tensors, tensor, export, import, backup and restore-backup."""

from __future__ import annotations

from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from tests.cli.conftest import Lepton, model


def test_checkout_gives_the_same_bytes(three: Lepton, here: Path) -> None:
    newest = Path("model.safetensors").read_bytes()
    told = three("checkout", "v3", "-o", "out/deep", "--json").json
    assert list(told) == ["name", "id", "branch", "folder", "files"]
    assert told["files"] == ["out/deep/model.safetensors"]
    assert (here / "out/deep/model.safetensors").read_bytes() == newest
    assert three("checkout", "v3", "-o", "other").out == "wrote 1 file of main@v3 into other\n"
    three("checkout", "v1")
    assert Path("model.safetensors").read_bytes() == model("again", step=0).read_bytes() != newest


def test_checkout_never_loses_a_file(three: Lepton, here: Path) -> None:
    Path("model.safetensors").write_bytes(b"mine")
    assert three("checkout", "v1", "--json", code=2).error["kind"] == "would-overwrite"
    assert Path("model.safetensors").read_bytes() == b"mine"
    three("checkout", "v1", "--force")
    (copy,) = here.glob("model.safetensors.kept-*")
    assert copy.read_bytes() == b"mine"


def test_checkout_where_nothing_can_be_written(three: Lepton) -> None:
    assert three("checkout", "v1", "-o", "model.safetensors", "--json", code=2).error["hint"]
    assert three("checkout", "v1", "-o", "/proc/nothing", "--json", code=3).error["hint"]


def test_tensors(three: Lepton) -> None:
    told = three("tensors", "v1", "--json").json
    assert [list(tensor) for tensor in told] == [["name", "file", "dtype", "shape", "nbytes"]] * 2
    (weight,) = (tensor for tensor in told if tensor["name"] == "layer.weight")
    assert (weight["shape"], weight["dtype"], weight["nbytes"]) == ([64, 32], "float32", 8192)
    rows = three("tensors", "v1").out.splitlines()
    assert rows[0].split() == ["Tensor", "Type", "Shape", "Size", "File"]
    assert "layer.weight  float32  64×32  8.0 KiB  model.safetensors" in rows


def test_a_version_without_tensors(lepton: Lepton) -> None:
    Path("notes.txt").write_text("nothing")
    lepton("save", "notes.txt")
    assert lepton("tensors", "v1", "--json").json == []
    assert lepton("tensors", "v1").err.startswith("lepton: no file of this version has tensors")


def test_one_tensor(three: Lepton) -> None:
    weight = np.random.default_rng(7).normal(size=(64, 32)).astype(np.float32)
    told = three("tensor", "v1", "layer.weight", "-o", "weight.npy", "--json").json
    assert list(told) == [
        "name", "dtype", "shape", "elements", "nbytes", "min", "max", "mean", "std", "zeros", "not_finite", "file",
    ]  # fmt: skip
    assert told["mean"] == pytest.approx(float(weight.mean(dtype=np.float64)))
    assert (told["shape"], told["elements"], told["file"]) == ([64, 32], 2048, "weight.npy")
    np.testing.assert_array_equal(np.load("weight.npy"), weight)
    said = three("tensor", "v1", "model.safetensors:layer.bias").out
    assert "shape:       32\n" in said
    assert "zeros:       1\n" in said


def test_a_tensor_file_is_not_overwritten(three: Lepton) -> None:
    Path("x.npy").write_text("mine")
    assert (
        three("tensor", "v1", "layer.bias", "-o", "x.npy", "--json", code=2).error["kind"]
        == "would-overwrite"
    )
    three("tensor", "v1", "layer.bias", "-o", "x.npy", "--force")
    assert np.load("x.npy").shape == (32,)
    assert three("tensor", "v1", "layer.bias", "-o", "x.npy/y", "--json", code=2).error["kind"] == "usage"


def test_a_tensor_that_is_not_there(three: Lepton) -> None:
    error = three("tensor", "v1", "nope", "--json", code=2).error
    assert (error["kind"], error["hint"]) == ("not-found", "lepton tensors lists them")


def test_tensors_of_types_that_numpy_lacks(lepton: Lepton) -> None:
    values = {
        "half": np.array([1.5, np.inf, 0], ml_dtypes.bfloat16),
        "empty": np.zeros((0, 3), np.float32),
        "truth": np.array([True, False]),
        "whole": np.array([-3, 4], np.int8),
    }
    save_file(values, "odd.safetensors")
    lepton("save", "odd.safetensors")
    told = lepton("tensor", "v1", "half", "-o", "half.npy", "--json").json
    assert (told["dtype"], told["min"], told["max"], told["not_finite"]) == ("bfloat16", 0.0, 1.5, 1)
    np.testing.assert_array_equal(np.load("half.npy"), np.array([1.5, np.inf, 0], np.float32))
    assert "written as float32" in lepton("tensor", "v1", "half", "-o", "again.npy").err
    assert lepton("tensor", "v1", "empty", "--json").json["elements"] == 0
    assert lepton("tensor", "v1", "truth", "--json").json["mean"] == 0.5
    assert lepton("tensor", "v1", "whole", "--json").json["min"] == -3


def test_a_version_travels_as_one_file(three: Lepton, here: Path) -> None:
    told = three("export", "v2", "--json").json
    assert list(told) == ["file", "bytes", "name", "id"]
    assert told["file"] == "v2.lepton"
    assert three("export", "v2", "--json", code=2).error["kind"] == "would-overwrite"
    assert three("export", "v2", "--force").out.startswith("wrote main@v2 into v2.lepton, ")
    three("export", "v2", "-o", "other.lepton")
    three("init", "elsewhere")
    took = three("import", "v2.lepton", "--repo", "elsewhere", "--name", "theirs", "--json").json
    assert (took["name"], took["metrics"], took["author"]) == ("theirs", {"accuracy": 0.91}, "Anna")
    shown = three("show", "theirs", "--repo", "elsewhere", "--json").json
    assert shown["operation"]["kind"] == "import"
    assert three("import", "v2.lepton", "--repo", "elsewhere").out.startswith("imported main@v1  ")


def test_a_file_that_was_not_exported(three: Lepton) -> None:
    assert three("import", "model.safetensors", "--json", code=2).error["hint"] == "lepton export makes one"
    assert three("import", "missing.lepton", "--json", code=2).error["kind"] == "not-found"


def test_a_repository_is_backed_up_and_comes_back(three: Lepton, here: Path) -> None:
    told = three("backup", "copy", "--json").json
    assert list(told) == ["folder", "bytes", "packs", "versions"]
    assert (told["folder"], told["packs"], told["versions"]) == ("copy", 4, 3)
    three("save", model(step=9))
    assert three("backup", "copy").out.startswith("copied ")
    back = three("restore-backup", "copy", "again", "--json").json
    assert (back["folder"], back["versions"]) == ("again", 4)
    ours, theirs = three("versions", "--json").json, three("versions", "--repo", "again", "--json").json
    assert ours == theirs


def test_backups_that_cannot_be(three: Lepton) -> None:
    three("init", "other")
    three("backup", "copy")
    assert three("backup", "copy", "--repo", "other", "--json", code=2).error["kind"] == "already-exists"
    assert three("restore-backup", "other", "--json", code=2).error["kind"] == "already-exists"
    assert three("restore-backup", "nowhere", "new", "--json", code=2).error["kind"] == "not-found"
    Path("full").mkdir()
    Path("full/file").write_text("x")
    assert three("backup", "full", "--json", code=2).error["kind"] == "already-exists"
