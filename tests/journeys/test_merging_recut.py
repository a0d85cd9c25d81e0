"""Models in shards that are cut differently on both sides: never shards of two cuts, always every tensor."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from lepton_ai import errors
from lepton_ai.handles import Version

from .merged import Arrays, Models, same

RNG = np.random.default_rng(8)
W = {f"layer.{n}": RNG.normal(size=(30, 20)).astype(np.float32) for n in range(8)}
Cut = tuple[int, ...]
"""Where the tensors are cut: (3, 8) are two shards, (8,) is one file without an index."""


def w(**changes: float) -> Arrays:
    """The weights, with something added to some: ``w(_3=1)``."""
    return {name: array + np.float32(changes.get(f"_{name[-1]}", 0)) for name, array in W.items()}


class Sharded(Models):
    """A repository of a model in shards."""

    def put(self, arrays: Arrays, cut: Cut, branch: str = "main") -> Version:
        """Save a model, cut so."""
        folder = self.folder / "model"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        names, start, placed = list(arrays), 0, dict[str, str]()
        for number, end in enumerate(cut, 1):
            file = f"model-{number:05}-of-{len(cut):05}.safetensors" if len(cut) > 1 else "model.safetensors"
            stop = end if number < len(cut) else len(names)
            (folder / file).write_bytes(save({name: arrays[name] for name in names[start:stop]}))
            placed |= dict.fromkeys(names[start:stop], file)
            start = stop
        if len(cut) > 1:
            index = {"metadata": {"total_size": sum(a.nbytes for a in arrays.values())}, "weight_map": placed}
            (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
        return self.repo.save_files(folder, branch)

    def apart(self, cuts: tuple[Cut, Cut, Cut], base: Arrays, ours: Arrays, theirs: Arrays) -> None:
        """main and side went different ways."""
        self.put(base, cuts[0])
        self.repo.create_branch("side")
        self.put(ours, cuts[1])
        self.put(theirs, cuts[2], "side")

    def whole(self, version: Version, like: Version) -> Arrays:
        """Every tensor of the version, after a look whether its files are those of ``like`` and its index is right."""
        assert [file.path for file in version.files] == [file.path for file in like.files]
        folder = self.folder / "out"
        version.checkout(folder)
        files = {file.name: load_file(file) for file in folder.rglob("*.safetensors")}
        found = {name: file for file, tensors in files.items() for name in tensors}
        indexes = list(folder.rglob("*.index.json"))
        assert len(indexes) == (len(files) > 1)
        for index in indexes:
            assert json.loads(index.read_text())["weight_map"] == found
        shutil.rmtree(folder)
        return {name: files[file][name] for name, file in found.items()}


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Sharded]:
    models = Sharded(tmp_path)
    yield models
    models.repo.close()


CUTS: list[tuple[Cut, Cut, Cut]] = [
    ((4, 8), (2, 5, 8), (4, 8)),
    ((4, 8), (4, 8), (2, 5, 8)),
    ((4, 8), (3, 6, 8), (2, 4, 6, 8)),
    ((4, 8), (3, 8), (6, 8)),
    ((8,), (3, 6, 8), (4, 8)),
    ((4, 8), (8,), (4, 8)),
    ((4, 8), (4, 8), (8,)),
]


@pytest.mark.parametrize("cuts", CUTS)
def test_disjoint_changes_come_together_bit_for_bit(made: Sharded, cuts: tuple[Cut, Cut, Cut]) -> None:
    made.apart(cuts, w(), w(_0=1, _5=2), w(_1=3, _4=1, _7=1))
    ours = made.repo.version("main@v2")
    assert made.repo.preview_merge("side").possible
    merged = made.merge()
    assert same(made.whole(merged, ours), w(_0=1, _5=2, _1=3, _4=1, _7=1))
    assert made.repo.replay_merge(merged)


@pytest.mark.parametrize("cuts", CUTS)
def test_what_both_changed_is_merged_across_files(made: Sharded, cuts: tuple[Cut, Cut, Cut]) -> None:
    made.apart(cuts, w(), w(_0=1, _6=1), w(_4=2, _6=3))
    with pytest.raises(errors.Diverged, match=r"conflict in 1 tensor: layer\.6"):
        made.repo.merge_branch("side")
    ours = made.repo.version("main@v2")
    merged = made.merge(method="linear")
    found = made.whole(merged, ours)
    np.testing.assert_allclose(found["layer.6"], W["layer.6"] + 2, rtol=1e-5)
    assert same({**found, "layer.6": W["layer.6"]}, w(_0=1, _4=2))
    assert merged.merged is not None
    assert [one.outcome for one in merged.merged.tensors] == ["ours", "theirs", "merged"]


@pytest.mark.parametrize("everywhere", [False, True])
def test_one_side_alone_changed_something(made: Sharded, everywhere: bool) -> None:
    """Its files are taken as they are; or the method takes its numbers, in the files of ours."""
    made.put(w(), (4, 8))
    made.repo.create_branch("side")
    made.put(w(), (4, 8))  # the same again: nothing changed
    made.put(w(_3=1), (2, 5, 8), "side")
    asked = {"method": "take_theirs", "everywhere": True} if everywhere else {}
    merged = made.merge(fast_forward=False, **asked)
    like = made.repo.version("main@v1" if everywhere and len(merged.files) == 3 else "side")
    assert same(made.whole(merged, like), w(_3=1))


def test_tensors_that_theirs_alone_added_bring_their_files(made: Sharded) -> None:
    more = {**w(_1=1), "layer.9": np.ones((3, 300), np.float32)}
    made.apart(((4, 8), (2, 5, 8), (6, 9)), w(), w(_0=1), more)
    merged = made.merge()
    assert same(made.whole(merged, made.repo.version("side")), {**more, "layer.0": w(_0=1)["layer.0"]})


def test_both_added_tensors(made: Sharded) -> None:
    """No file can get or lose tensors: that is said, and a side can be taken."""
    one, other = {**w(_0=1), "x": np.ones(300, np.float32)}, {**w(_1=1), "y": np.ones(300, np.float32)}
    made.apart(((4, 8), (2, 5, 9), (6, 9)), w(), one, other)
    with pytest.raises(errors.Diverged, match="y: added on one side"):
        made.repo.merge_branch("side")
    ours = made.repo.version("main@v2")
    merged = made.merge(on_conflict="ours")
    assert same(made.whole(merged, ours), {**one, "layer.1": other["layer.1"]})
    made.repo.create_branch("again", "main@v2")
    merged = made.merge(into="again", on_conflict="theirs")
    assert same(made.whole(merged, made.repo.version("side")), {**other, "layer.0": one["layer.0"]})


def test_shards_of_two_cuts_are_never_left(made: Sharded) -> None:
    """Of models without a tensor in common nobody knows which shard stands for which."""
    made.put(w(), (4, 8))
    made.repo.create_branch("side")
    made.put({f"new.{n}": array + n + 1 for n, array in enumerate(W.values())}, (2, 5, 8))
    made.put(w(_0=1, _7=1), (4, 8), "side")
    found = made.repo.preview_merge("side", on_conflict="theirs")
    assert not found.possible
    assert "shards of two models would be left together" in found.obstacles[0]
    with pytest.raises(errors.Diverged, match="shards of two models"):
        made.repo.merge_branch("side", on_conflict="theirs")
    merged = made.merge(on_conflict="ours")
    assert len(merged.files) == 4
