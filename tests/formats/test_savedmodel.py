"""SavedModels and checkpoints as TensorFlow writes them, and tables that lie."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from lepton_ai.formats.contract import BytesSource, Extent, Layout, Malformed
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.savedmodel import FORMAT
from lepton_ai.formats.sstable import MAGIC, entries
from lepton_ai.history.reading import Reader
from lepton_ai.repository import ModelRepository
from lepton_ai.testing.formats import Array, FormatSuite, Sample
from lepton_ai.testing.merging import MergeSuite
from lepton_ai.testing.splicing import Spliced, whole

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = pytest.mark.frameworks

DTYPES = (
    *("float32", "float64", "int32", "uint8", "int16", "int8", "complex64", "int64", "bool", "bfloat16"),
    *("uint16", "complex128", "float16", "uint32", "uint64", "float8_e5m2", "float8_e4m3fn", "int4", "uint4"),
    *("int2", "uint2", "float4_e2m1fn", "qint8", "quint8", "qint32"),
)
VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def saved_model(folder: Path) -> Sample:
    """A module with a variable of every type, a scalar, an empty one, and a table of strings."""
    import tensorflow as tf

    rng = np.random.default_rng(5)
    module, expected = tf.Module(), {}
    for n, name in enumerate(DTYPES):
        dtype = tf.dtypes.as_dtype(name)
        values = rng.integers(0, 2, size=(3, n + 1)).astype(dtype.as_numpy_dtype)
        variable = tf.Variable(tf.constant(values, dtype=dtype), name=name)
        setattr(module, f"v_{name}", variable)
        expected[f"v_{name}{VALUE}"] = variable.numpy()
    module.scalar = tf.Variable(4.5)
    module.empty = tf.Variable(tf.zeros((0, 7)))
    module.words = tf.Variable(["left", "opaque"])
    expected[f"scalar{VALUE}"] = np.array(4.5, dtype=np.float32)
    expected[f"empty{VALUE}"] = np.zeros((0, 7), dtype=np.float32)
    tf.saved_model.save(module, str(folder))
    return Sample.of(folder, expected, "variables/variables.index")


def many(folder: Path) -> Sample:
    """A checkpoint whose table takes several blocks."""
    import tensorflow as tf

    variables = {f"layer_{n:04}": tf.Variable(tf.fill((n % 5 + 1, 3), float(n))) for n in range(9000)}
    tf.train.Checkpoint(**variables).write(str(folder / "ckpt-1"))
    expected = {f"{name}{VALUE}": variable.numpy() for name, variable in variables.items()}
    return Sample.of(folder, expected, "ckpt-1.index")


def sliced(folder: Path) -> Sample:
    """One variable in three slices beside a whole one, by the graph API."""
    import tensorflow as tf

    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        v1.get_variable("parts", (9, 4), partitioner=v1.fixed_size_partitioner(3), use_resource=True)
        whole = v1.get_variable("whole", (4, 4), use_resource=True)
        saver = v1.train.Saver()
        session.run(v1.global_variables_initializer())
        folder.mkdir()
        saver.save(session, str(folder / "m.ckpt"), write_meta_graph=False)
        expected = {"whole": session.run(whole)}
    return Sample.of(folder, expected, "m.ckpt.index")


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Sample]:
    folder = tmp_path_factory.mktemp("tensorflow")
    return {make.__name__: make(folder / make.__name__) for make in (saved_model, many, sliced)}


class TestSavedModel(FormatSuite, MergeSuite):
    @pytest.fixture
    def reader(self) -> Any:
        return FORMAT

    @pytest.fixture
    def samples(self, written: dict[str, Sample]) -> list[Sample]:
        return [written["saved_model"], written["sliced"]]

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """TensorFlow compares every checksum that it meets."""
        import tensorflow as tf

        reader = tf.train.load_checkpoint(str(folder / main.removesuffix(".index")))
        kinds = reader.get_variable_to_dtype_map()
        names = [name for name, dtype in kinds.items() if dtype != tf.string]
        return {name: np.asarray(reader.get_tensor(name)) for name in names}


def test_the_rest_of_the_folder_stays_opaque(written: dict[str, Sample]) -> None:
    files = written["saved_model"].files
    found = layouts({path: BytesSource(data) for path, data in files.items()}, [FORMAT])
    assert {path: layout.format for path, layout in found.items()} == {
        "fingerprint.pb": "opaque",
        "saved_model.pb": "opaque",
        "variables/variables.data-00000-of-00001": "tensor data",
        "variables/variables.index": "savedmodel",
    }


def test_slices_and_strings_are_left_out(written: dict[str, Sample]) -> None:
    for name in ("sliced", "saved_model"):
        sample = written[name]
        sources = {path: BytesSource(data) for path, data in sample.files.items()}
        layout = FORMAT.layout(sample.main, sources[sample.main], sources)
        keys = {key.decode() for key, _ in entries(sources[sample.main]) if not key.startswith(b"\0")}
        left_out = keys - {t.name for t in layout.tensors} - {""}
        assert left_out == (
            {"parts"} if name == "sliced" else {f"words{VALUE}", "_CHECKPOINTABLE_OBJECT_GRAPH"}
        )


def test_programs_that_both_sides_saved_anew_come_together(tmp_path: Path) -> None:
    """TensorFlow numbers and orders anew whatever it saves: that is nothing for people to decide."""
    import tensorflow as tf

    def program(first: int, second: int) -> Path:
        module, folder = tf.Module(), tmp_path / f"{first}-{second}"
        module.first, module.second = tf.Variable([float(first)] * 4), tf.Variable([float(second)] * 4)
        spec = tf.TensorSpec([4])
        module.run = tf.function(lambda x: x * module.first + module.second, input_signature=[spec])
        tf.saved_model.save(module, str(folder))
        return folder

    with ModelRepository(tmp_path / "repository", encrypt=False) as repo:
        repo.save_files(program(1, 2))
        side = repo.create_branch("side")
        repo.save_files(program(3, 2))
        repo.save_files(program(1, 5), side)
        merged = repo.merge_branch("side")
        assert merged is not None
        assert any(note.startswith("fingerprint.pb changed on both sides: ours") for note in merged.notes)
        assert repo.replay_merge(merged)
        merged.checkout(tmp_path / "out")
    loaded = tf.saved_model.load(str(tmp_path / "out"))
    np.testing.assert_array_equal(loaded.run(tf.constant([1.0, 2, 3, 4])), [8, 11, 14, 17])


def exported(folder: Path, shift: float, turned: int = 0) -> Path:
    """A model of Keras's with variables alike in shape; ``turned`` is how far its export's order is turned."""
    import keras
    from keras.src.export import saved_model_export_archive as exports

    keras.backend.clear_session()
    keras.utils.set_random_seed(7)
    layers = [keras.layers.Dense(4, name=name) for name in ("first", "second", "third")]
    given = made = keras.Input((4,))
    for layer in layers:
        made = layer(made)
    model = keras.Model(given, made)
    for layer in layers:
        layer.bias.assign(np.arange(4) + len(layer.name))
    if shift:
        layer = layers[int(shift) - 1]
        layer.kernel.assign(layer.kernel + shift)
        layer.bias.assign(layer.bias + shift)
    used = exports._list_variables_used_by_fns

    def otherwise(fns: Any) -> Any:
        trainable, rest = used(fns)
        ordered = sorted(trainable, key=lambda one: one.name)
        return ordered[turned:] + ordered[:turned], rest

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exports, "_list_variables_used_by_fns", otherwise)
        model.export(str(folder), verbose=False)
    return folder


def all_variables(folder: Path) -> dict[str, Any]:
    """What TensorFlow reads under each full name."""
    import tensorflow as tf

    return {
        one.name.removesuffix(":0"): one.numpy() for one in tf.saved_model.load(str(folder))._all_variables
    }


def test_exports_of_keras_call_variables_by_their_full_names(tmp_path: Path) -> None:
    names = []
    for turned in (0, 2):
        sample = Sample.of(exported(tmp_path / str(turned), 0, turned), {}, "variables/variables.index")
        sources = {path: BytesSource(data) for path, data in sample.files.items()}
        layout = FORMAT.layout(sample.main, sources[sample.main], sources)
        names.append({tensor.name for tensor in layout.tensors})
        reader = Spliced(FORMAT, sample)
        for name, values in all_variables(tmp_path / str(turned)).items():
            np.testing.assert_array_equal(reader.arrays[f"_all_variables/{name}{VALUE}"], values)
    assert names[0] == names[1]
    assert f"_all_variables/second/kernel{VALUE}" in names[0]


def test_keras_exports_itself_in_its_own_order(tmp_path: Path) -> None:
    """Nothing is put in order here: if Keras calls them otherwise one day, this test is to tell."""
    import keras

    given = keras.Input((3,))
    model = keras.Model(given, keras.layers.Dense(2, name="only")(given))
    model.export(str(tmp_path / "m"), verbose=False)
    with ModelRepository(tmp_path / "repository", encrypt=False) as repo:
        version = repo.save_files(tmp_path / "m")
        names = {tensor.name for tensor in version.tensors()}
        assert {f"_all_variables/only/{name}{VALUE}" for name in ("kernel", "bias")} <= names
        np.testing.assert_array_equal(
            version.tensor(f"_all_variables/only/kernel{VALUE}"), model.layers[1].kernel.numpy()
        )


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_exports_of_keras_merge_by_full_names(tmp_path: Path, side: str) -> None:
    import tensorflow as tf

    with ModelRepository(tmp_path / "repository", encrypt=False) as repo:
        repo.save_files(exported(tmp_path / "base", 0))
        repo.create_branch("side")
        repo.save_files(exported(tmp_path / "ours", 1, 2))
        repo.save_files(exported(tmp_path / "theirs", 3, 5), "side")
        changed = {one.name for one in repo.diff("v1", "v2").tensors if one.status == "changed"}
        assert {name for name in changed if name.startswith("_all")} == {
            f"_all_variables/first/{name}{VALUE}" for name in ("kernel", "bias")
        }
        merged = repo.merge_branch("side", on_conflict=side)
        assert merged is not None
        assert repo.replay_merge(merged)
        merged.checkout(tmp_path / "out")
    found, ours = all_variables(tmp_path / "out"), all_variables(tmp_path / "ours")
    base, theirs = all_variables(tmp_path / "base"), all_variables(tmp_path / "theirs")
    for name in base:
        changer = ours if name.startswith("first") else theirs if name.startswith("third") else base
        np.testing.assert_array_equal(found[name], changer[name], err_msg=name)
    x = np.float32([[1, -2, 3, 0.5]])
    wanted = x
    for layer in ("first", "second", "third"):
        wanted = wanted @ found[f"{layer}/kernel"] + found[f"{layer}/bias"]
    program = tf.saved_model.load(str(tmp_path / "out"))
    np.testing.assert_allclose(program.serve(x), wanted, rtol=1e-5)


def test_versions_of_before_tell_full_names_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that was saved when variables still had numbers, beside one of today."""
    from lepton_ai.formats import savedmodel

    with ModelRepository(tmp_path / "repository", encrypt=False) as repo:
        with monkeypatch.context() as before:
            before.setattr(savedmodel, "named", lambda keys, graph: {})
            repo.save_files(exported(tmp_path / "base", 0))
            assert any("_all_variables/0/" in tensor.name for tensor in stored_tensors(repo))
        repo.create_branch("side")
        repo.save_files(exported(tmp_path / "ours", 1, 2))
        repo.save_files(exported(tmp_path / "theirs", 2, 3), "side")
        names = [tensor.name for tensor in repo.version("v1").tensors()]
        assert f"_all_variables/third/bias{VALUE}" in names
        changed = {one.name for one in repo.diff("v1", "v2").tensors if one.status != "same"}
        assert {name for name in changed if name.startswith("_all")} == {
            f"_all_variables/first/{name}{VALUE}" for name in ("kernel", "bias")
        }
        merged = repo.merge_branch("side")
        assert merged is not None
        merged.checkout(tmp_path / "out")
    found = all_variables(tmp_path / "out")
    for name, which in (("first", "ours"), ("second", "theirs"), ("third", "base")):
        np.testing.assert_array_equal(found[f"{name}/bias"], all_variables(tmp_path / which)[f"{name}/bias"])


def stored_tensors(repo: ModelRepository) -> list[Any]:
    """What the manifests of the newest version tell."""
    reader = Reader(repo.home.history, repo.home.store)
    found = reader.manifests(repo.lines.resolve("v1").record.files)
    return [tensor for manifest in found.values() for tensor in manifest.tensors]


@pytest.mark.parametrize("on_conflict", ["stop", "ours", "theirs"])
def test_numbered_variables_without_names_are_never_mixed(tmp_path: Path, on_conflict: str) -> None:
    import tensorflow as tf

    with ModelRepository(tmp_path / "repository", encrypt=False) as repo:
        for number, branch in ((0, "main"), (1, "main"), (2, "side")):
            module, folder = tf.Module(), tmp_path / str(number)
            module._all_variables = [tf.Variable([1.0 + (number == n)] * 4) for n in (1, 2)]
            module.run = tf.function(lambda x: x + 1, input_signature=[tf.TensorSpec([4])])
            tf.saved_model.save(module, str(folder))
            if branch == "side":
                repo.create_branch("side", "v1")
            repo.save_files(folder, branch)
        preview = repo.preview_merge("side", on_conflict=on_conflict)
        assert not preview.compatible
        assert "numbers its variables anew" in preview.obstacles[0]


def test_many_entries_take_several_blocks(written: dict[str, Sample]) -> None:
    sample = written["many"]
    assert len(sample.files[sample.main]) > 262_144
    FormatSuite().test_tensors_equal_the_frameworks(FORMAT, [sample])


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def block(*pairs: tuple[int, bytes, bytes], restarts: int = 0) -> bytes:
    body = b"".join(varint(s) + varint(len(k)) + varint(len(v)) + k + v for s, k, v in pairs)
    return body + restarts.to_bytes(4, "little")


def table(*blocks: bytes, handles: list[tuple[int, int]] | None = None, kind: int = 0) -> bytes:
    data, places = b"", []
    for part in blocks:
        places.append((len(data), len(part)))
        data += part + bytes([kind]) + bytes(4)
    index = block(*((0, b"k%d" % n, varint(o) + varint(s)) for n, (o, s) in enumerate(handles or places)))
    footer = varint(0) + varint(0) + varint(len(data)) + varint(len(index))
    return data + index + bytes(5) + footer.ljust(40, b"\0") + MAGIC


HEADER = (0, b"", b"\x08\x01\x1a\x02\x08\x01")
BIG = (0, b"", b"\x08\x01\x10\x01")


def entry(
    kind: int = 1, shape: bytes = b"\x12\x02\x08\x04", size: int = 16, offset: int = 0, shard: int = 0
) -> bytes:
    return (
        b"\x08%c\x12" % kind + varint(len(shape)) + shape
        + b"\x18" + varint(shard) + b"\x20" + varint(offset) + b"\x28" + varint(size)
    )  # fmt: skip


def lay(index: bytes, data: bytes = bytes(64), name: str = "a.data-00000-of-00001") -> Layout:
    folder = {"v/a.index": BytesSource(index), f"v/{name}": BytesSource(data)}
    return FORMAT.layout("v/a.index", folder["v/a.index"], folder)


def test_a_table_made_by_hand_is_read() -> None:
    layout = lay(table(block(HEADER, (0, b"aa", entry()), (1, b"b", entry(offset=32)))))
    assert [(t.name, t.extents) for t in layout.tensors] == [
        ("aa", (Extent(0, 16, "a.data-00000-of-00001"),)),
        ("ab", (Extent(32, 16, "a.data-00000-of-00001"),)),
    ]


GOOD = block(HEADER, (0, b"aa", entry()))


@pytest.mark.parametrize(
    "index",
    [
        b"", b"\0" * 47, b"\0" * 48, table(), table(b""), table(block()),
        table(GOOD)[:-1],
        table(GOOD, kind=1),  # compressed
        table(GOOD, handles=[(0, len(GOOD)), (0, len(GOOD))]),  # the same block twice
        table(GOOD, handles=[(0, 2**62)]),
        table(GOOD, handles=[(2**64 - 1, 1)]),
        table(block(HEADER, (0, b"aa", entry()), restarts=1000)),
        table(block(HEADER, (0, b"aa", entry()), (0, b"aa", entry(offset=32)))),  # a name twice
        table(block(HEADER, (1, b"a", entry()))),  # begins like a longer key
        table(block(HEADER, (0, b"a" * 5000, entry()))),
        table(block(HEADER, (0, b"\xff", entry()))),
        table(block(BIG, (0, b"a", entry()))),  # big-endian
        table(block((0, b"", b""), (0, b"a", entry()))),  # no parts
        table(block((0, b"", b"\x08" + varint(2**63)), (0, b"a", entry()))),
        table(block((0, b"a", entry()))),  # no header
        table(block(HEADER, (0, b"a", entry(size=20)))),
        table(block(HEADER, (0, b"a", entry(offset=60)))),
        table(block(HEADER, (0, b"a", entry(offset=2**64 - 8)))),
        table(block(HEADER, (0, b"a", entry(shard=1)))),
        table(block(HEADER, (0, b"a", entry(shard=2**64 - 1)))),
        table(block(HEADER, (0, b"a", entry(shape=b"\x12\x02\x08\x04" * 16 * 5)))),
        table(block(HEADER, (0, b"a", entry(shape=b"\x18\x01")))),  # of unknown rank
        table(block(HEADER, (0, b"a", entry(shape=b"\x12\x0b\x08" + varint(2**64 - 4))))),
        table(block(HEADER, (0, b"a", entry()), (0, b"b", entry(offset=8)))),  # overlap
        table(block(HEADER, (0, b"a", b"\x0b"))),
    ],
)  # fmt: skip
def test_tables_that_lie_are_refused(index: bytes) -> None:
    assert lay(table(GOOD)).tensors
    with pytest.raises(Malformed):
        lay(index)


def test_a_missing_part_is_refused() -> None:
    with pytest.raises(Malformed, match="not beside it"):
        lay(table(GOOD), name="b.data-00000-of-00001")


def test_random_tables_are_refused() -> None:
    rng = random.Random(3)
    for _ in range(300):
        with pytest.raises(Malformed):
            lay(rng.randbytes(rng.randrange(300)) + MAGIC)


def test_other_indexes_are_not_claimed() -> None:
    assert not FORMAT.claims("faiss.index", b"IxF2")
    assert not FORMAT.claims("variables/variables.data-00000-of-00001", b"\0\0")
    assert FORMAT.claims("variables/variables.index", b"\0\0\x08\x08")


def test_tensorflow_loads_a_model_with_other_weights(written: dict[str, Sample], tmp_path: Path) -> None:
    """Whole, and not without the checksums of its index."""
    import tensorflow as tf

    sample = written["saved_model"]
    made = Spliced(FORMAT, sample)
    name = f"v_float32{VALUE}"
    new = made.arrays[name] * 3 + 1
    found = {path: whole(source) for path, source in made.splice({name: new}).items()}
    stale = {**found, sample.main: sample.files[sample.main]}
    for folder, files in (("right", found), ("stale", stale)):
        for path, data in files.items():
            (tmp_path / folder / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / folder / path).write_bytes(data)
    assert (tf.saved_model.load(str(tmp_path / "right")).v_float32.numpy() == new).all()
    with pytest.raises(tf.errors.DataLossError):
        tf.saved_model.load(str(tmp_path / "stale"))
