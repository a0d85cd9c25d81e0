"""Work that is done once stays done once: calls and objects are counted, nothing is timed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.cli.app import run
from lepton_ai.errors import Ambiguous, Damaged, NotFound
from lepton_ai.history import bases, manifest
from lepton_ai.history.reading import Reader
from lepton_ai.history.verify import Verifier
from lepton_ai.repository import ModelRepository
from lepton_ai.store import pairing
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.contract import BlobInfo, Content, Stream
from lepton_ai.store.pairing import Pairing


@pytest.fixture(autouse=True)
def _no_provenance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")


@pytest.fixture
def repo(tmp_path: Path) -> ModelRepository:
    return ModelRepository(tmp_path / "repo", author="anna", encrypt=False)


def _shards(folder: Path, files: int, tensors: int, add: float = 0) -> Path:
    """A folder of files that together are a model; no two tensors are alike."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(5)
    for file in range(files):
        named = {f"t{file}.{i}": rng.normal(size=100).astype(np.float32) + add for i in range(tensors)}
        save_file(named, folder / f"model-{file:03}.safetensors")
    return folder


def _counted(monkeypatch: pytest.MonkeyPatch, owner: object, *names: str) -> Counter[str]:
    """Count from now on how often functions are called."""
    calls: Counter[str] = Counter()

    def counting(name: str, real: Callable[..., object]) -> Callable[..., object]:
        def counted(*given: object) -> object:
            calls[name] += 1
            return real(*given)

        return counted

    for name in names:
        monkeypatch.setattr(owner, name, counting(name, getattr(owner, name)))
    return calls


class TestBases:
    @pytest.mark.parametrize("files", [5, 20])
    def test_the_parents_streams_are_mapped_once_and_not_once_per_file(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: int
    ) -> None:
        tensors = 10
        repo.save_files(_shards(tmp_path / "m", files, tensors))
        mapped = 0

        class Counted(Pairing):
            def __init__(self, contents: Iterable[Content], rest: Pairing | None = None) -> None:
                nonlocal mapped
                listed = list(contents)
                mapped += sum(len(content.streams) for content in listed)
                super().__init__(listed, rest)

        monkeypatch.setattr(bases, "Pairing", Counted)
        repo.save_files(_shards(tmp_path / "m", files, tensors, add=1e-6))
        streams = files * (tensors + 1)  # a header each
        assert mapped == 2 * streams  # all of them for any file, and each file's own

    def test_where_blocks_begin_is_worked_out_once_per_stream(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "big.bin"
        data = bytearray(np.random.default_rng(1).bytes(24 << 20))
        file.write_bytes(data)
        repo.save_files(file)
        calls = _counted(monkeypatch, pairing, "block_sizes")
        for place in range(0, len(data), 1 << 20):
            data[place] ^= 1
        file.write_bytes(data)
        repo.save_files(file)
        # Two threads may both be the first to ask; 24 blocks must not ask 24 times.
        assert 1 <= calls["block_sizes"] <= 4

    def test_a_renamed_file_still_finds_its_tensors(self, repo: ModelRepository, tmp_path: Path) -> None:
        first = _shards(tmp_path / "m", 2, 30)
        before = repo.save_files(first)
        whole = repo.info(before).stored_bytes
        _shards(tmp_path / "n", 2, 30, add=1e-6)
        (tmp_path / "n" / "model-001.safetensors").rename(tmp_path / "n" / "other.safetensors")
        after = repo.save_files(tmp_path / "n")
        now, then = repo.info(after).stored_bytes, repo.info(before).stored_bytes
        assert now > 0.9 * whole, "the newest is kept in full"
        assert then < 0.8 * whole, "and the one before as its difference"

    def test_opaque_bytes_are_compared_with_those_of_the_same_file_only(self) -> None:
        content = Content(8, 8, ((0, 8),), (Stream("", "bytes", 8, b"o" * 32),))
        own, others = Pairing([content]), Pairing([], Pairing([content]))
        assert own.block("", "bytes", 0, 8) == b"o" * 32
        assert others.block("", "bytes", 0, 8) is None


class TestDamagedParents:
    def test_a_damaged_manifest_of_the_parent_keeps_nobody_from_saving(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        repo.save_files(_shards(tmp_path / "m", 3, 4))
        lost = repo.version("v1").files[1]
        manifest = repo.reader.rows([lost.sha256])[lost.sha256].manifest
        real = repo.home.store.get

        def damaged(object_id: bytes) -> bytes:
            if object_id == manifest:
                raise Damaged("Damaged: as if bits had rotted")
            return real(object_id)

        monkeypatch.setattr(repo.home.store, "get", damaged)
        found = bases.Bases(Reader(repo.home.history, repo.home.store), repo.version("v1").record)
        assert set(found._contents) == {entry.path for entry in repo.version("v1").files} - {lost.path}
        changed = _shards(tmp_path / "m", 3, 4, add=1e-6)
        saved = repo.save_files(changed)
        repo.checkout(saved, tmp_path / "out")
        assert (tmp_path / "out" / lost.path).read_bytes() == (changed / lost.path).read_bytes()


class TestNewBytes:
    @pytest.mark.parametrize("command", [["save"], ["update", "v1"]])
    def test_saving_lists_no_packs_to_tell_what_is_newly_stored(
        self,
        repo: ModelRepository,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        command: list[str],
    ) -> None:
        for number in range(5):
            repo.save_files(_shards(tmp_path / "m", 1, 2, add=number))
        before = {pack.name for pack in repo.home.store.packs()}
        asked: list[str] = []
        real_list, real_info = LocalBlobs.list, LocalBlobs.info

        def listing(blobs: LocalBlobs, prefix: str = "") -> Iterator[BlobInfo]:
            asked.append("list")
            return real_list(blobs, prefix)

        def info(blobs: LocalBlobs, name: str) -> BlobInfo:
            asked.append("info")
            return real_info(blobs, name)

        with monkeypatch.context() as patch:
            patch.setattr(LocalBlobs, "list", listing)
            patch.setattr(LocalBlobs, "info", info)
            changed = _shards(tmp_path / "m", 1, 2, add=0.5)
            assert run([*command, str(changed), "--json", "--repo", str(repo.path)]) == 0
        assert asked.count("list") == 0
        # The two new packs, and before an older one goes the two that hold its objects instead.
        assert asked.count("info") <= 4
        new = [pack.size for pack in repo.home.store.packs() if pack.name not in before]
        assert json.loads(capsys.readouterr().out)["new_bytes"] == sum(new) > 0

    def test_a_version_that_was_looked_up_knows_no_new_bytes(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        saved = repo.save_files(_shards(tmp_path / "m", 1, 2))
        assert saved.new_bytes
        assert repo.save_files(tmp_path / "m").new_bytes == 0
        assert repo.version("v1").new_bytes is None


class TestVerify:
    VERSIONS = 21

    @pytest.fixture
    def often(self, repo: ModelRepository, tmp_path: Path) -> ModelRepository:
        """One file of three tensors, in many versions."""
        save_file(
            {name: np.random.default_rng(i).normal(size=200) for i, name in enumerate("abc")},
            tmp_path / "m.safetensors",
        )
        repo.save_files(tmp_path / "m.safetensors")
        for _ in range(self.VERSIONS - 1):
            repo.rollback("v1")
        return repo

    def test_every_manifest_is_looked_at_once_whichever_versions_have_it(
        self, often: ModelRepository, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        calls = _counted(monkeypatch, often.home.store, "get", "missing")
        verifier = Verifier(often.home, often.lines)
        verdict = verifier.run(fast=True)
        assert verdict.clean
        assert verdict.versions == self.VERSIONS
        assert calls == {"get": 1, "missing": 1}
        assert len(verifier._looks) == 1

    @pytest.mark.parametrize("fast", [True, False])
    def test_only_what_is_damaged_is_remembered(self, often: ModelRepository, fast: bool) -> None:
        (entry,) = often.version("v1").files
        content = next(iter(often.reader.manifests([entry]).values())).content
        block = next(stream for stream in content.streams if stream.key == "b").blocks[:32]
        manifest = often.reader.rows([entry.sha256])[entry.sha256].manifest
        wanted = manifest if fast else block
        place = often.home.store._index.find([wanted])[wanted][0]
        [file] = (often.home.place / "packs").rglob(f"{place.pack}.pack")
        data = bytearray(file.read_bytes())
        if fast:
            file.unlink()
        else:
            data[place.offset + place.length // 2 + 40] ^= 1
            file.write_bytes(data)
        verdict = Verifier(often.home, often.lines).run(fast=fast)
        touches = [touch for damage in verdict.damages for touch in damage.touches]
        labels = {f"main@v{number}" for number in range(1, self.VERSIONS + 1)}
        # Without its manifest it is not known which tensors there were.
        stream = "" if fast else "b"
        assert sorted(touches) == sorted((label, "m.safetensors", stream) for label in labels)


class TestTensors:
    def test_the_last_versions_manifests_are_decoded_once(
        self, repo: ModelRepository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = repo.save_files(_shards(tmp_path / "m", 3, 4))
        second = repo.save_files(_shards(tmp_path / "m", 3, 4, add=1))
        calls = _counted(monkeypatch, manifest, "decode")
        for info in first.tensors():
            first.tensor(info.name)
        assert calls["decode"] == 3
        for version, decoded in ((second, 6), (second, 6), (first, 9)):
            version.tensor("t0.0")
            assert calls["decode"] == decoded
        assert np.allclose(second.tensor("t1.2"), first.tensor("t1.2") + 1, atol=1e-6)

    def test_a_tensor_is_found_by_its_name_and_by_its_files(
        self, repo: ModelRepository, tmp_path: Path
    ) -> None:
        folder = tmp_path / "m"
        folder.mkdir()
        for number, name in enumerate(("a", "b")):
            save_file({"w": np.full(5, number)}, folder / f"{name}.safetensors")
        save_file({"a.safetensors:w": np.full(5, 7), "u": np.full(5, 3)}, folder / "c.safetensors")
        version = repo.save_files(folder)
        assert version.tensor("u")[0] == 3
        assert version.tensor("b.safetensors:w")[0] == 1
        with pytest.raises(Ambiguous, match=r"a\.safetensors, b\.safetensors"):
            version.tensor("w")
        with pytest.raises(Ambiguous, match=r"a\.safetensors, c\.safetensors"):
            version.tensor("a.safetensors:w")
        with pytest.raises(NotFound):
            version.tensor("c.safetensors:w")
