"""A version's tensors as elements: parts, what is known to be equal without reading, and which stand for which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from lepton_ai.formats.contract import Extent, Tensor
from lepton_ai.handles import Version
from lepton_ai.history import counterparts
from lepton_ai.history.counterparts import FilePair
from lepton_ai.history.elements import Tensors
from lepton_ai.history.held import Piece
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.store import BLOCK_SIZE
from lepton_ai.types import FileEntry

BIG = 3 * BLOCK_SIZE // 4 + 1000
"""float32 elements of a tensor of four blocks, the last one short."""


@pytest.fixture
def repo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRepository:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


def _saved(repo: ModelRepository, folder: Path, **named: np.ndarray) -> Version:
    save_file(named, folder / "model.safetensors")
    return repo.save_files(folder / "model.safetensors")


def _tensors(version: Version, repo: ModelRepository) -> Tensors:
    return Tensors(repo.reader, version.files)


class TestParts:
    @settings(max_examples=40, deadline=None)
    @given(st.integers(0, BIG), st.integers(0, BIG))
    def test_any_part_is_that_part(
        self, tmp_path_factory: pytest.TempPathFactory, one: int, other: int
    ) -> None:
        repo, whole = _world(tmp_path_factory)
        elements = repo["w"]
        start, stop = sorted((one, other))
        assert elements.plain
        assert (elements.part(start, stop) == whole[start:stop]).all()

    def test_only_the_blocks_that_cover_it_are_read(self, repo: ModelRepository, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        version = _saved(repo, tmp_path, w=rng.normal(size=BIG).astype(np.float32))
        tensors = _tensors(version, repo)
        counting = CountingBlobs(repo.home.store._reader._blobs)
        repo.home.store._reader._blobs = counting
        tensors["w"].part(BLOCK_SIZE // 4 + 5, BLOCK_SIZE // 4 + 10)
        assert 0 < counting.bytes_read < 1.1 * BLOCK_SIZE
        assert tensors["w"].bytes_read == tensors.bytes_read == 20
        assert tensors.nbytes == 4 * BIG

    @pytest.mark.parametrize(
        "dtype", ["float16", "bfloat16", "float8_e4m3fn", "bool", "int8", "uint64", "complex64"]
    )
    def test_types_keep_their_own(self, repo: ModelRepository, tmp_path: Path, dtype: str) -> None:
        kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
        array = np.arange(300).astype(kind).reshape(20, 15)
        version = _saved(repo, tmp_path, w=array)
        elements = _tensors(version, repo)["w"]
        assert (elements.dtype, elements.shape, elements.size) == (kind, (20, 15), 300)
        assert (elements.part(7, 33).view(np.uint8) == array.reshape(-1)[7:33].view(np.uint8)).all()
        assert elements.array().tobytes() == array.tobytes()

    def test_what_can_only_be_decoded_whole_is_decoded_once(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        array = np.arange(24, dtype=np.float64).reshape(4, 6)
        np.savez_compressed(tmp_path / "m.npz", w=np.asfortranarray(array))
        version = repo.save_files(tmp_path / "m.npz")
        elements = _tensors(version, repo)["w"]
        assert not elements.plain
        assert (elements.part(5, 9) == array.reshape(-1)[5:9]).all()
        read = elements.bytes_read
        assert (elements.array() == array).all()
        assert read == elements.bytes_read > 0

    def test_a_tensor_in_several_files_is_addressed_with_its_file(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        folder = tmp_path / "m"
        folder.mkdir()
        for name in ("a", "b"):
            save_file({"w": np.zeros(3), name: np.ones(2)}, folder / f"{name}.safetensors")
        tensors = _tensors(repo.save_files(folder), repo)
        assert list(tensors) == ["a", "a.safetensors:w", "b", "b.safetensors:w"]
        assert {address: elements.name for address, elements in tensors.items()}["b.safetensors:w"] == "w"


_WORLD: list[tuple[Tensors, np.ndarray]] = []


def _world(factory: pytest.TempPathFactory) -> tuple[Tensors, np.ndarray]:
    if not _WORLD:
        folder = factory.mktemp("world")
        repo = ModelRepository(folder / "repo", author="anna", encrypt=False)
        array = np.random.default_rng(1).normal(size=BIG).astype(np.float32)
        _WORLD.append((_tensors(_saved(repo, folder, w=array), repo), array))
    return _WORLD[0]


class TestEqualWithoutReading:
    def test_of_two_versions(self, repo: ModelRepository, tmp_path: Path) -> None:
        rng = np.random.default_rng(0)
        kept, moved = rng.normal(size=5000).astype(np.float32), rng.normal(size=BIG).astype(np.float32)
        first = _saved(repo, tmp_path, kept=kept, moved=moved)
        moved[BLOCK_SIZE // 4 + 17] += 1
        moved[-1] += 1
        second = _saved(repo, tmp_path, kept=kept, moved=moved)
        one, two = _tensors(first, repo), _tensors(second, repo)
        assert one["kept"].same_as(two["kept"])
        assert one["kept"].differing(two["kept"]) == []
        assert not one["moved"].same_as(two["moved"])
        block = BLOCK_SIZE // 4
        assert one["moved"].differing(two["moved"]) == [(block, 2 * block), (3 * block, BIG)]
        assert one.bytes_read == two.bytes_read == 0

    def test_another_type_or_shape_over_the_same_bytes_is_not_the_same(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        array = np.arange(600, dtype=np.float32)
        first = _saved(repo, tmp_path, w=array)
        second = _saved(repo, tmp_path, w=array.reshape(20, 30))
        third = _saved(repo, tmp_path, w=array.view(np.int32))
        one, two, three = (_tensors(version, repo)["w"] for version in (first, second, third))
        assert one.pieces == two.pieces == three.pieces
        assert not one.same_as(two)
        assert not one.same_as(three)
        assert one.differing(two) == []
        with pytest.raises(ValueError, match="compared"):
            one.differing(three)

    def test_what_is_decoded_whole_is_equal_or_not_as_a_whole(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        def save(value: float) -> Version:
            kept, moved = np.arange(900.0).reshape(30, 30), np.full((30, 30), value)
            moved[0, 0] = 0  # else it is laid out in both ways at once
            np.savez(tmp_path / "m.npz", kept=np.asfortranarray(kept), w=np.asfortranarray(moved))
            return repo.save_files(tmp_path / "m.npz")

        one, two = _tensors(save(1.0), repo), _tensors(save(2.0), repo)
        assert not one["kept"].plain
        assert one["kept"].differing(two["kept"]) == []
        assert one["w"].differing(two["w"]) == [(0, 900)]

    @settings(max_examples=60, deadline=None)
    @given(st.sets(st.integers(0, BIG - 1), max_size=3))
    def test_whatever_changed_lies_in_what_differs(
        self, tmp_path_factory: pytest.TempPathFactory, places: set[int]
    ) -> None:
        tensors, whole = _world(tmp_path_factory)
        changed = whole.copy()
        changed[list(places)] += 1
        other = Tensors(_Beside(tensors, changed))["w"]
        ranges = tensors["w"].differing(other)
        covered = {place for start, stop in ranges for place in places if start <= place < stop}
        assert covered == places
        assert len(ranges) <= len(places)


class _Beside:
    """A tensor in memory, cut as the store cuts it."""

    def __init__(self, like: Tensors, array: np.ndarray) -> None:
        self._like, self._data = like["w"], array.tobytes()
        self._own = like["w"].held

    def tensors(self) -> list[tuple[str, Tensor]]:
        return [("model.safetensors", self._like.tensor)]

    def lack(self, path: str, tensor: Tensor) -> str:
        return ""

    def read(self, path: str, extent: Extent, offset: int, length: int) -> bytes:
        return self._data[offset : offset + length]

    def pieces(self, path: str, extent: Extent) -> Iterator[Piece]:
        at = 0
        for piece in self._own.pieces(path, extent):
            mine = self._data[at : at + piece.length]
            same = mine == self._own.read(path, extent, at, piece.length)
            yield piece if same else piece._replace(id=b"another block of ours".ljust(32))
            at += piece.length


def _entry(path: str, content: str = "", target: str | None = None) -> FileEntry:
    return FileEntry(path, content or path.encode().hex().ljust(64, "0")[:64], 1, target=target)


def _names(pairs: list[FilePair]) -> list[tuple[str | None, str | None]]:
    return [(pair.before and pair.before.path, pair.after and pair.after.path) for pair in pairs]


class TestCounterparts:
    def test_files_pair_by_path_then_content_then_as_the_one_model(self) -> None:
        before = [
            _entry("config.json", "a" * 64),
            _entry("model_v1.keras"),
            _entry("old.txt", "b" * 64),
            _entry("x"),
        ]
        after = [
            _entry("config.json", "c" * 64),
            _entry("model_v2.keras"),
            _entry("new.txt", "b" * 64),
            _entry("y"),
        ]
        models = ({"model_v1.keras"}, {"model_v2.keras"})
        assert _names(counterparts.files(before, after, models)) == [
            ("config.json", "config.json"), ("model_v1.keras", "model_v2.keras"), ("old.txt", "new.txt"),
            (None, "y"), ("x", None),
        ]  # fmt: skip
        assert (None, "model_v2.keras") in _names(counterparts.files(before, after))

    def test_of_several_models_none_is_guessed(self) -> None:
        before, after = [_entry("a.pt"), _entry("b.pt")], [_entry("c.pt")]
        assert _names(counterparts.files(before, after, ({"a.pt", "b.pt"}, {"c.pt"}))) == [
            (None, "c.pt"), ("a.pt", None), ("b.pt", None),
        ]  # fmt: skip

    def test_links_have_no_content_to_go_by(self) -> None:
        pairs = counterparts.files([_entry("a", target="m")], [_entry("b", target="m")])
        assert _names(pairs) == [(None, "b"), ("a", None)]

    def test_tensors_pair_by_name_whatever_the_files_are_called_or_cut(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        def save(**files: dict[str, float]) -> tuple[Version, Tensors]:
            folder = tmp_path / f"m{len(repo.list_versions())}"
            folder.mkdir()
            for file, named in files.items():
                arrays = {name: np.full(100, value) for name, value in named.items()}
                save_file(arrays, folder / f"{file}.safetensors")
            version = repo.save_files(folder)
            return version, _tensors(version, repo)

        def pair(first: tuple[Version, Tensors], second: tuple[Version, Tensors]) -> list[tuple[str, str]]:
            models = tuple({e.path for e in tensors.values()} for _, tensors in (first, second))
            files = counterparts.files(first[0].files, second[0].files, models)
            found = counterparts.tensors(first[1], second[1], files)
            return [(p.before.address if p.before else "", p.after.address if p.after else "") for p in found]

        one = save(model_v1={"a": 1, "b": 2, "gone": 3})
        two = save(model_v2={"a": 1, "b": 5, "new": 3})
        assert pair(one, two) == [("a", "a"), ("b", "b"), ("", "new"), ("gone", "")]
        shards = save(x={"a": 1, "b": 2}, y={"new": 3})
        assert pair(two, shards) == [("a", "a"), ("b", "b"), ("new", "new")]
        twice = save(x={"a": 1}, y={"a": 2})
        assert pair(twice, twice) == [
            ("x.safetensors:a", "x.safetensors:a"), ("y.safetensors:a", "y.safetensors:a"),
        ]  # fmt: skip
        other = save(p={"a": 1}, q={"a": 7})
        assert pair(twice, other)[0] == ("x.safetensors:a", "p.safetensors:a"), "the same content, renamed"


def test_a_tensor_whose_bytes_the_version_lacks_is_told(repo: ModelRepository, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    weight = onnx.numpy_helper.from_array(np.ones((20, 30), np.float32), "w")
    graph = onnx.helper.make_graph([], "g", [], [], [weight])
    onnx.save_model(
        onnx.helper.make_model(graph), tmp_path / "m.onnx", save_as_external_data=True,
        location="m.data", size_threshold=0,
    )  # fmt: skip
    together = repo.save_files([tmp_path / "m.onnx", tmp_path / "m.data"])
    alone = repo.save_files(tmp_path / "m.onnx")
    assert list(_tensors(together, repo)) == ["w"]
    lacking = _tensors(alone, repo)
    assert (list(lacking), list(lacking.lacking)) == ([], ["w"])
    assert "m.data" in lacking.lacking["w"]
