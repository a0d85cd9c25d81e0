"""Two versions side by side: what is told of files, tensors and everything that was said."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.errors import NotFound, StorageFailed, Unsupported, UsageError
from lepton_ai.history import provenance
from lepton_ai.history.diff import words
from lepton_ai.history.diff.contract import TensorChange
from lepton_ai.history.elements import Elements
from lepton_ai.repository import ModelRepository
from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.store import BLOCK_SIZE
from tests.history.diff.models import layers, repo, save

__all__ = ["repo"]


def _counting(repo: ModelRepository) -> CountingBlobs:
    counting = CountingBlobs(repo.home.store._reader._blobs)
    repo.home.store._reader._blobs = counting
    return counting


def _by_name(tensors: tuple[TensorChange, ...]) -> dict[str, TensorChange]:
    return {tensor.name: tensor for tensor in tensors}


class TestTensors:
    def test_every_number_is_the_one_that_numpy_finds(self, repo: ModelRepository) -> None:
        before = layers()
        after = dict(before)
        after["layers.1.weight"] = before["layers.1.weight"].copy()
        after["layers.1.weight"][::2] *= 1.25
        one, two = save(repo, before), save(repo, after)
        found = one.diff(two)
        assert [t.name for t in found.tensors] == ["layers.1.weight"]
        assert found.same == 5
        assert found.differs
        tensor = found.tensors[0]
        a, b = before["layers.1.weight"].astype(float), after["layers.1.weight"].astype(float)
        assert (tensor.status, tensor.layer, tensor.changed, tensor.changed_fraction) == (
            "changed",
            "layers.1",
            600,
            0.5,
        )
        assert tensor.max_abs == np.abs(b - a).max()
        assert tensor.l2 == pytest.approx(np.linalg.norm(b - a), rel=1e-12)
        assert tensor.l2_relative == pytest.approx(np.linalg.norm(b - a) / np.linalg.norm(a), rel=1e-12)
        assert tensor.cosine == pytest.approx(
            (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-12
        )
        assert tensor.before is not None
        assert tensor.after is not None
        assert tensor.before.mean == pytest.approx(a.mean())
        assert tensor.after.std == pytest.approx(b.std())
        assert tensor.measured_fraction == 1

    def test_added_removed_renamed_retyped_reshaped(self, repo: ModelRepository) -> None:
        before = layers() | {
            "gone": np.full(50, 3.0),
            "old.head.weight": np.arange(500.0),
            "cast": np.ones((8, 9), "f4"),
        }
        after = layers() | {
            "new": np.full(50, 4.0),
            "head.weight": np.arange(500.0),
            "cast": np.ones((8, 9), "f2"),
        }
        after["layers.2.bias"] = before["layers.2.bias"].reshape(8, 5)
        after["layers.0.weight"] = before["layers.0.weight"][:20]
        one, two = save(repo, before), save(repo, after)
        found = _by_name(one.diff(two).tensors)
        assert {name: tensor.status for name, tensor in found.items()} == {
            "gone": "removed", "new": "added", "head.weight": "renamed", "cast": "retyped",
            "layers.2.bias": "reshaped", "layers.0.weight": "reshaped",
        }  # fmt: skip
        assert found["head.weight"].name_before == "old.head.weight"
        assert (found["cast"].dtype_before, found["cast"].dtype, found["cast"].changed) == (
            "float32",
            "float16",
            0,
        )
        assert (found["layers.2.bias"].changed, found["layers.2.bias"].max_abs) == (0, 0.0)
        assert (found["layers.0.weight"].changed, found["layers.0.weight"].max_abs) == (None, None)
        assert found["new"].after is not None
        assert found["new"].after.mean == 4.0
        assert found["gone"].after is None

    def test_a_renamed_and_trained_tensor_follows_the_others(self, repo: ModelRepository) -> None:
        rng = np.random.default_rng(0)
        before = {f"h.{i}.attn.w": rng.normal(size=(30, 30)) for i in range(3)}
        after = {name.replace("h.", "blocks.").replace("attn", "attention"): a for name, a in before.items()}
        after["blocks.1.attention.w"] = after["blocks.1.attention.w"] + 1
        found = _by_name(save(repo, before).diff(save(repo, after)).tensors)
        assert {t.status for t in found.values()} == {"renamed", "changed"}
        assert found["blocks.1.attention.w"].name_before == "h.1.attn.w"
        assert found["blocks.1.attention.w"].max_abs == pytest.approx(1)

    def test_a_version_that_introduces_nan_is_called_out(self, repo: ModelRepository) -> None:
        before = layers()
        before["layers.0.bias"][0] = np.nan
        after = {name: array.copy() for name, array in before.items()}
        after["layers.1.weight"].flat[:3] = np.nan, np.inf, -np.inf
        after["fresh"] = np.array([1, np.nan] * 100, np.float32)
        one, two = save(repo, before), save(repo, after)
        found = one.diff(two)
        assert [(t.name, t.introduced_nan, t.introduced_inf) for t in found.introduces] == [
            ("fresh", 100, 0), ("layers.1.weight", 1, 2),
        ]  # fmt: skip
        (warning,) = words.warnings(found)
        assert (
            warning == "main@v2 introduces 101 NaN and 2 Inf: fresh (100 NaN), layers.1.weight (1 NaN, 2 Inf)"
        )
        assert not two.diff(one).introduces, "that they are gone is no warning"

    def test_order_and_layers(self, repo: ModelRepository) -> None:
        before = layers() | {"flat": np.zeros(100, np.float32)}
        after = {name: array.copy() for name, array in before.items()}
        after["layers.2.bias"] += 0.001
        after["layers.0.weight"] *= 1.5
        after["layers.0.bias"][:1] += 100
        after["flat"][:5] = 1
        one, two = save(repo, before), save(repo, after)
        found = one.diff(two)
        assert [t.name for t in found.tensors] == [
            "flat",
            "layers.0.bias",
            "layers.0.weight",
            "layers.2.bias",
        ]
        assert found.tensors[0].l2_relative == math.inf
        assert [layer.name for layer in found.layers] == ["", "layers.0", "layers.2"]
        layer = found.layers[1]
        delta = math.hypot(
            *(
                np.linalg.norm(after[n].astype(float) - before[n])
                for n in ("layers.0.weight", "layers.0.bias")
            )
        )
        base = math.hypot(
            *(np.linalg.norm(before[n].astype(float)) for n in ("layers.0.weight", "layers.0.bias"))
        )
        assert (layer.tensors, layer.l2_relative) == (2, pytest.approx(delta / base))
        assert one.diff(two, sort="max").tensors[0].name == "layers.0.bias"
        assert one.diff(two, sort="changed").tensors[-1].name == "layers.0.bias"
        assert [t.name for t in one.diff(two, sort="name").tensors] == sorted(t.name for t in found.tensors)
        with pytest.raises(UsageError, match="there is no order 'size'"):
            one.diff(two, sort="size")  # type: ignore[typeddict-item]

    def test_only_those_that_fit_a_pattern(self, repo: ModelRepository) -> None:
        one, two = save(repo, layers(0)), save(repo, layers(1), metrics={"a": 1})
        found = one.diff(two, tensor="*.1.*")
        assert {t.name for t in found.tensors} == {"layers.1.weight", "layers.1.bias"}
        assert (found.metrics, found.files) == ((), ())
        everything = one.diff(one, everything=True)
        assert [t.status for t in everything.tensors] == ["same"] * 6
        assert not everything.differs

    @pytest.mark.parametrize("dtype", ["int64", "bool", "complex64", "float8_e4m3fn", "bfloat16"])
    def test_every_type_has_its_numbers(self, repo: ModelRepository, dtype: str) -> None:
        kind = np.dtype(getattr(ml_dtypes, dtype, dtype))
        before = np.zeros(300).astype(kind)
        after = before.copy()
        after[7] = 1
        (tensor,) = save(repo, {"w": before}).diff(save(repo, {"w": after})).tensors
        assert (tensor.changed, tensor.max_abs, tensor.dtype) == (1, 1.0, dtype)

    def test_quantised_blocks_are_compared_as_bytes(self, repo: ModelRepository, tmp_path: Path) -> None:
        gguf = pytest.importorskip("gguf")

        def write(scale: float) -> Path:
            writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama")
            rows = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32) * scale
            kind = gguf.GGMLQuantizationType.Q8_0
            writer.add_tensor("w", gguf.quants.quantize(rows, kind), raw_dtype=kind)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
            writer.close()
            return tmp_path / "m.gguf"

        one, two = repo.save_files(write(1)), repo.save_files(write(2))
        (tensor,) = one.diff(two).tensors
        assert tensor.status == "changed"
        assert 0 < (tensor.changed_fraction or 0) < 1
        assert tensor.max_abs is None
        assert "bytes are compared" in tensor.note

    def test_one_that_cannot_be_decoded_hides_nothing(
        self, repo: ModelRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        one, two = save(repo, layers(0)), save(repo, layers(1))
        real = Elements.joined

        def joined(self: Elements, *given: Any) -> np.ndarray:
            if self.name == "layers.1.weight":
                raise Unsupported("tensor 'layers.1.weight' of model.safetensors cannot be decoded: a reason")
            return real(self, *given)

        monkeypatch.setattr(Elements, "joined", joined)
        found = _by_name(one.diff(two).tensors)
        assert len(found) == 6
        assert found["layers.1.weight"].status == "changed"
        assert found["layers.1.weight"].changed_fraction is None
        assert found["layers.1.weight"].note.endswith("a reason")
        assert found["layers.0.weight"].changed_fraction == 1

    def test_another_shape_over_the_same_bytes_costs_nothing(self, repo: ModelRepository) -> None:
        array = np.random.default_rng(0).normal(size=(300, 200))
        found = save(repo, {"w": array}).diff(save(repo, {"w": array.reshape(200, 300)}))
        assert [(t.status, t.changed) for t in found.tensors] == [("reshaped", 0)]
        assert found.bytes_read == 0


class TestWhatIsRead:
    def test_blocks_that_are_known_to_be_equal_are_never_read(self, repo: ModelRepository) -> None:
        rng = np.random.default_rng(0)
        big = rng.normal(size=2 * BLOCK_SIZE).astype(np.float32)  # eight blocks
        before = {"big": big, "other": rng.normal(size=BLOCK_SIZE).astype(np.float32)}
        one = save(repo, before)
        after = dict(before, big=big.copy())
        after["big"][5 * BLOCK_SIZE // 4 + 3] += 1
        two = save(repo, after)
        counting = _counting(repo)
        found = one.diff(two)
        (tensor,) = found.tensors
        assert (tensor.name, tensor.changed, tensor.measured_fraction) == ("big", 1, 1 / 8)
        assert found.bytes_read == 2 * BLOCK_SIZE
        assert counting.bytes_read < 2.2 * BLOCK_SIZE, (
            "of 24 blocks two, one of them as a difference to the other"
        )
        assert words.partly(found)
        assert words.moved(tensor).endswith("*")
        whole = one.diff(two, whole=True)
        (all_,) = whole.tensors
        norm = np.linalg.norm(big.astype(float))
        assert (all_.changed, all_.measured_fraction) == (1, 1)
        assert all_.l2_relative == pytest.approx((all_.l2 or 0) / norm)
        assert (tensor.l2_relative or 0) > (all_.l2_relative or 0), (
            "of the blocks that differ: at most this much"
        )
        assert (tensor.changed_fraction, tensor.max_abs, tensor.l2) == (
            all_.changed_fraction,
            all_.max_abs,
            all_.l2,
        )

    def test_equal_versions_cost_no_tensor_at_all(self, repo: ModelRepository) -> None:
        one, two = save(repo, layers()), save(repo, layers(), name="renamed")
        counting = _counting(repo)
        found = one.diff(two)
        assert found.bytes_read == 0
        assert counting.bytes_read < 2000, "the manifest"
        assert [(f.status, f.path_before, f.path) for f in found.files] == [
            ("renamed", "model.safetensors", "renamed.safetensors")
        ]

    def test_the_same_weights_in_another_order_are_identical_weights(self, repo: ModelRepository) -> None:
        one = save(repo, layers())
        two = save(repo, {"aaa": np.zeros(3), **layers()})
        three = save(repo, dict(reversed(layers().items())) | {"aaa": np.zeros(3)}, name="m2")
        assert not one.diff(two).same_weights
        found = two.diff(three)
        assert found.same_weights
        assert "identical weights" in words.verdict(found)[0]
        assert "identical weights" in words.verdict(one.diff(one))[0]

    def test_a_part_of_the_tensors_says_nothing_of_the_weights(self, repo: ModelRepository) -> None:
        other = layers() | {"layers.2.bias": np.zeros(40, "f4")}
        one, two = save(repo, layers()), save(repo, other)
        found = one.diff(two, tensor="layers.0.*")
        assert (found.same, found.same_weights, found.complete) == (2, False, False)
        assert words.verdict(found) == ["All 2 tensors that were compared are identical."]
        renamed = save(repo, {name.replace("layers", "blocks"): array for name, array in other.items()})
        assert words.verdict(one.diff(renamed, tensor="*.0.*")) == ["Of 2 tensors: 2 renamed."]

    def test_the_same_weights_under_other_names(self, repo: ModelRepository) -> None:
        other = {name.replace("layers", "blocks"): array for name, array in layers().items()}
        found = save(repo, layers()).diff(save(repo, other))
        assert {t.status for t in found.tensors} == {"renamed"}
        assert words.verdict(found) == [
            "These two versions hold identical weights; 6 of 6 tensors are called otherwise."
        ]


class TestTold:
    def test_only_differences_unless_all_is_asked_for(self, repo: ModelRepository) -> None:
        one = save(
            repo, layers(), metrics={"accuracy": 0.9, "loss": 0.5}, params={"opt": {"lr": 0.1, "name": "adam"}, "x": 1},
            dataset={"name": "digits", "rows": 10},
        )  # fmt: skip
        two = save(
            repo, layers(), metrics={"accuracy": 0.9, "loss": 0.25, "f1": 1},
            params={"opt": {"lr": 0.2, "name": "adam"}}, dataset={"name": "digits", "rows": 20, "licence": "MIT"},
        )  # fmt: skip
        found = one.diff(two)
        assert {t.key: words.change(t) for t in found.metrics} == {"loss": "0.5 → 0.25 (-0.25)", "f1": "+ 1"}
        assert [(t.key, words.change(t)) for t in found.params] == [
            ("opt.lr", "0.1 → 0.2 (+0.1)"),
            ("x", "- 1"),
        ]
        assert [t.key for t in found.dataset] == ["rows", "licence"]
        assert found.same_weights
        assert found.differs
        everything = one.diff(two, everything=True)
        assert {t.key: t.status for t in everything.params} == {
            "opt.lr": "changed",
            "opt.name": "same",
            "x": "removed",
        }

    def test_packages_and_code(self, repo: ModelRepository, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LEPTON_AI_NO_PROVENANCE")
        with ModelRepository(repo.path, author="anna") as recorded:
            monkeypatch.setattr(provenance, "packages", lambda: b'{"numpy":"2.0","torch":"2.5"}')
            one = save(recorded, layers())
            monkeypatch.setattr(provenance, "packages", lambda: b'{"numpy":"2.1","torch":"2.5"}')
            two = save(recorded, layers())
            found = one.diff(two)
            assert [(t.key, words.change(t)) for t in found.packages] == [("numpy", "2.0 → 2.1")]


class TestSides:
    def test_a_version_alone_is_compared_with_the_one_before_it(self, repo: ModelRepository) -> None:
        one, two = save(repo, layers(0)), save(repo, layers(1))
        assert repo.diff("v2").before.id == one.id
        assert repo.diff(two).after.id == two.id
        with pytest.raises(UsageError, match="'v1' is the first version of its line"):
            repo.diff("v1")

    def test_a_version_and_a_file_on_the_disk(self, repo: ModelRepository, tmp_path: Path) -> None:
        changed = layers()
        changed["layers.0.weight"] = changed["layers.0.weight"] + 1
        one = save(repo, layers())
        save_file(changed, tmp_path / "elsewhere.safetensors")
        found = repo.diff(one, tmp_path / "elsewhere.safetensors")
        assert [t.name for t in found.tensors] == ["layers.0.weight"]
        assert found.after.id is None
        assert [f.status for f in found.files] == ["changed"]
        assert repo.diff(str(tmp_path / "elsewhere.safetensors"), "v1").tensors[0].max_abs == pytest.approx(1)
        assert repo.diff("v1", tmp_path / "model.safetensors").same_content
        with pytest.raises(NotFound):
            repo.diff("v1", "nowhere.safetensors")

    def test_a_block_of_many_small_tensors_is_read_once(self, repo: ModelRepository) -> None:
        rng = np.random.default_rng(0)
        one, two = (save(repo, {f"t{i}": rng.normal(size=16) for i in range(500)}) for _ in range(2))
        three = save(repo, {f"u{i}": rng.normal(size=16) for i in range(500)})
        counting = _counting(repo)
        assert len(one.diff(two).tensors) == 500
        assert counting.bytes_read < 1 << 20, "each by itself: 32 MB"
        assert len(two.diff(three).tensors) == 1000
        assert counting.bytes_read < 2 << 20

    @pytest.mark.parametrize("deed", ["rewritten", "shorter", "gone"])
    def test_a_file_that_changes_meanwhile_is_no_result(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, deed: str
    ) -> None:
        one, file = save(repo, layers()), tmp_path / "elsewhere.safetensors"
        save_file(layers(1), file)
        os.utime(file, (1, 1))
        whole, real = file.read_bytes(), Elements.part

        def part(elements: Elements, start: int, stop: int) -> Any:
            if deed == "gone":
                file.unlink(missing_ok=True)
            elif file.stat().st_size == len(whole):
                file.write_bytes(whole[:-400] if deed == "shorter" else whole[:-400] + bytes(400))
            return real(elements, start, stop)

        monkeypatch.setattr(Elements, "part", part)
        with pytest.raises(StorageFailed, match="while it was"):
            repo.diff(one, file)

    def test_equal_blocks_of_the_version_are_not_read_for_a_file(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        rng = np.random.default_rng(0)
        tensors = {name: rng.normal(size=BLOCK_SIZE).astype(np.float32) for name in "abc"}
        one = save(repo, tensors)
        tensors["b"][-1] += 1
        save_file(tensors, tmp_path / "other.safetensors")
        counting = _counting(repo)
        found = repo.diff(one, tmp_path / "other.safetensors")
        assert [(t.name, t.changed, t.measured_fraction) for t in found.tensors] == [("b", 1, 1 / 4)]
        assert counting.bytes_read < 1.1 * BLOCK_SIZE

    def test_a_folder_and_another_format(self, repo: ModelRepository, tmp_path: Path) -> None:
        one = save(repo, layers())
        (tmp_path / "folder").mkdir()
        np.savez(tmp_path / "folder" / "weights.npz", **layers())
        found = repo.diff(one, tmp_path / "folder")
        assert found.same_weights
        assert not found.same_content

    def test_what_is_no_side(self, repo: ModelRepository) -> None:
        save(repo, layers(0))
        with pytest.raises(UsageError, match="the version is a int"):
            repo.diff(3)  # type: ignore[arg-type]

    def test_a_branch_stands_for_its_newest(self, repo: ModelRepository) -> None:
        save(repo, layers(0))
        feature = repo.create_branch("feature")
        save_file(layers(1), repo.path.parent / "f.safetensors")
        repo.save_files(repo.path.parent / "f.safetensors", feature)
        assert len(repo.diff("main", "feature").tensors) == 6
        assert len(repo.diff(repo.branch("main"), feature).tensors) == 6
