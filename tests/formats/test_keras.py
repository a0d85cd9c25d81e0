"""Models that Keras wrote: ``.keras``, ``.weights.h5`` and the older ``.h5``."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from lepton_ai.formats import hdf5
from lepton_ai.formats.contract import BytesSource, Malformed
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.keras import FORMAT
from lepton_ai.formats.splice import splice
from lepton_ai.testing.formats import Array, FormatSuite, Sample, read_tensors
from lepton_ai.testing.merging import MergeSuite
from lepton_ai.testing.splicing import whole
from tests.formats import hdf5_files, keras_models

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lepton_ai.formats.contract import Format

pytestmark = pytest.mark.frameworks

WEIGHTS = "model.weights.h5"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What Keras wrote, in a process of its own: the backend is chosen once per process."""
    place = tmp_path_factory.mktemp("keras")
    program = [sys.executable, str(Path(keras_models.__file__)), str(place)]
    run = subprocess.run(program, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return place


class TestKeras(FormatSuite, MergeSuite):
    """The suite that every reader passes."""

    @pytest.fixture
    def reader(self) -> Format:
        return FORMAT

    @pytest.fixture
    def samples(self, folder: Path) -> list[Sample]:
        found = []
        for name in ("classifier.keras", "deep.keras"):
            with zipfile.ZipFile(folder / name) as archive:
                weights = archive.read(WEIGHTS)
            found.append(Sample.of(folder / name, hdf5_files.truth(weights)))
        return found

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What h5py finds; zipfile compares the checksum of the member."""
        with zipfile.ZipFile(folder / main) as archive:
            return hdf5_files.truth(archive.read(WEIGHTS))


class TestKerasHDF5(FormatSuite, MergeSuite):
    """The same for Keras' files that are HDF5 themselves."""

    @pytest.fixture
    def reader(self) -> Format:
        return hdf5.FORMAT

    @pytest.fixture
    def samples(self, folder: Path) -> list[Sample]:
        names = ("classifier.weights.h5", "classifier.h5", "deep.weights.h5", "deep.h5")
        return [Sample.of(folder / name, numbers_in((folder / name).read_bytes())) for name in names]

    def loaded(self, main: str, files: Mapping[str, bytes], folder: Path) -> Mapping[str, Array]:
        """What h5py finds."""
        return numbers_in(files[main])


def numbers_in(data: bytes) -> dict[str, Array]:
    """Without strings, and without bfloat16 of older files, which is two bytes of no type there."""
    arrays = hdf5_files.truth(data)
    return {
        name: array
        for name, array in arrays.items()
        if array.dtype.kind in "fiub" or array.dtype == "bfloat16"
    }


def read(name: str, data: bytes, reader: Format = FORMAT) -> dict[str, Array]:
    source = BytesSource(data)
    return dict(read_tensors({name: source}, name, reader.layout(name, source, {})))


@pytest.mark.parametrize("model", ["classifier", "deep"])
def test_the_weights_are_keras_own(folder: Path, model: str) -> None:
    """Every weight that the live model had is found with its values, whatever the file calls it."""
    weights = list(np.load(folder / f"{model}.npz").values())
    for suffix, reader in ((".keras", FORMAT), (".weights.h5", hdf5.FORMAT)):
        name = model + suffix
        found = read(name, (folder / name).read_bytes(), reader)
        present = {(array.shape, np.asarray(array, np.float64).tobytes()) for array in found.values()}
        assert len(weights) >= 15
        assert not [value for value in weights if (value.shape, value.tobytes()) not in present]
    assert not [name for name in found if not name.startswith(("layers/", "optimizer/"))]


def test_segments_of_equal_weights_are_equal(folder: Path) -> None:
    """The same run of bytes, called the same, in the archive and in the file of weights."""

    def runs(name: str, reader: Format) -> dict[str | None, bytes]:
        data = (folder / name).read_bytes()
        segments = reader.layout(name, BytesSource(data), {}).segments
        return {s.tensor: data[s.offset : s.offset + s.length] for s in segments if s.tensor}

    inside = runs("classifier.keras", FORMAT)
    assert len(inside) > 30
    assert inside == runs("classifier.weights.h5", hdf5.FORMAT)


def archive_of(files: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def test_compressed_and_empty_archives_are_refused() -> None:
    weights = hdf5_files.write(hdf5_files.many(3))
    with pytest.raises(Malformed, match="compressed"):
        read("m.keras", archive_of({WEIGHTS: weights}, zipfile.ZIP_DEFLATED))
    with pytest.raises(Malformed, match="no file of weights"):
        read("m.keras", archive_of({"config.json": b"{}"}))
    with pytest.raises(Malformed):
        read("m.keras", archive_of({WEIGHTS: b"{}"}))


def test_further_files_of_weights_have_names_of_their_own() -> None:
    weights, vocabulary = hdf5_files.write(hdf5_files.many(1)), hdf5_files.write(hdf5_files.many(2))
    found = read("m.keras", archive_of({WEIGHTS: weights, "assets/words.h5": vocabulary}))
    name = "many/dataset_with_a_long_name_"
    assert set(found) == {f"{name}00000", f"assets/words.h5/{name}00000", f"assets/words.h5/{name}00001"}


def test_chunked_weights_inside_of_an_archive() -> None:
    weights = hdf5_files.write(hdf5_files.chunks, hdf5_files.every_type, libver="latest")
    found = read("m.keras", archive_of({"config.json": b"{}", WEIGHTS: weights}))
    for name, array in hdf5_files.truth(weights).items():
        assert found[name].tobytes() == array.tobytes(), name


def test_claims_by_suffix_and_signature() -> None:
    assert FORMAT.claims("some/Model.KERAS", b"PK\x03\x04")
    assert not FORMAT.claims("some/model.zip", b"PK\x03\x04")
    assert not FORMAT.claims("some/model.keras", b"\x89HDF\r\n\x1a\n")


LOADS = """
import sys, keras, numpy
found = {path: keras.models.load_model(path, compile=False) for path in sys.argv[2:]}
values = {f"{n} {w.path}": numpy.asarray(keras.ops.convert_to_numpy(keras.ops.cast(w, "float32")))
          for n, model in enumerate(found.values()) for w in model.weights}
numpy.savez(sys.argv[1], **values)
"""


def test_keras_loads_what_was_spliced(folder: Path, tmp_path: Path) -> None:
    """The model's own loader, in a process of its own."""
    new = np.arange(25, dtype=np.float32).reshape(5, 5) / 7
    names = ["deep.keras", "deep.h5"]
    for name in names:
        source = {name: BytesSource((folder / name).read_bytes())}
        layout = layouts(source)[name]
        tensor = [t.name for t in layout.tensors if t.shape == (5, 5)][3]
        found = splice(name, layout, source, {tensor: BytesSource(new.tobytes())})
        (tmp_path / name).write_bytes(whole(found[name]))
    program = [sys.executable, "-c", LOADS, "found.npz", *names]
    settings = {**os.environ, "KERAS_BACKEND": "torch"}
    run = subprocess.run(program, capture_output=True, text=True, check=False, cwd=tmp_path, env=settings)
    assert run.returncode == 0, run.stderr
    with np.load(tmp_path / "found.npz") as arrays:
        kernels = [name for name in arrays if arrays[name].shape == (5, 5) and (arrays[name] == new).all()]
    assert [name[:1] for name in kernels] == ["0", "1"], kernels
