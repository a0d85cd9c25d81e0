"""Compressed chunks that outgrow their place, or no longer fill it; libhdf5 reads what comes out."""

from __future__ import annotations

import io
import zipfile
from typing import Any

import h5py
import numpy as np
import pytest

from lepton_ai.formats.contract import BytesSource
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.splice import refusals, splice
from lepton_ai.formats.splice.lookup3 import lookup3
from lepton_ai.testing.splicing import whole
from tests.formats import hdf5_files as files

pytestmark = pytest.mark.frameworks

PACKED = {"compression": "gzip", "shuffle": True, "fletcher32": True}
GROW = (None, None)
KINDS: dict[str, dict[str, Any]] = {
    "fixed": {"chunks": (8, 8)},
    "paged": {"chunks": (1, 1)},
    "single": {"chunks": (26, 40)},
    "growing": {"chunks": (4, 40), "maxshape": (None, 40)},
    "growing_much": {"chunks": (1, 1), "maxshape": (None, 40)},
    "both_ways": {"chunks": (3, 5), "maxshape": GROW},
}
ZEROS = np.zeros((26, 40))
NOISE = np.random.default_rng(3).normal(size=(26, 40))
VERSIONS = [{}, {"libver": "latest"}, {"userblock_size": 1024}, {"libver": "latest", "userblock_size": 512}]


def file_of(array: np.ndarray[Any, Any], **options: Any) -> bytes:
    def fill(file: h5py.File) -> None:
        for name, how in KINDS.items():
            file.create_dataset(name, data=array, **how, **PACKED)
        file["beside"] = np.arange(9)

    return files.write(fill, **options)


def spliced(name: str, data: bytes, news: dict[str, Any]) -> bytes:
    folder = {name: BytesSource(data)}
    changes = {key: BytesSource(array.tobytes()) for key, array in news.items()}
    return whole(splice(name, layouts(folder)[name], folder, changes)[name])


GROWS = [(ZEROS, NOISE, options) for options in VERSIONS]
OTHERS = [(NOISE, ZEROS, VERSIONS[0]), (NOISE, ZEROS, VERSIONS[1]), (NOISE, -NOISE, VERSIONS[1])]


@pytest.mark.parametrize(("before", "after", "options"), GROWS + OTHERS)
def test_every_kind_of_index(before: Any, after: Any, options: dict[str, Any]) -> None:
    data = file_of(before, **options)
    found = spliced("m.h5", data, dict.fromkeys(KINDS, after))
    assert len(found) > len(data) or before is not ZEROS
    assert len(found) == len(data) or after is not ZEROS
    arrays = files.truth(found)
    assert arrays["beside"].tolist() == list(range(9))
    assert {name: bool((arrays[name] == after).all()) for name in KINDS} == dict.fromkeys(KINDS, True)
    again = spliced("m.h5", found, dict.fromkeys(KINDS, before))
    assert all((array == before).all() for name, array in files.truth(again).items() if name != "beside")


@pytest.mark.parametrize("options", VERSIONS[:2], ids=str)
def test_hdf5_goes_on_writing_to_a_file_that_has_grown(options: dict[str, Any]) -> None:
    stream = io.BytesIO(spliced("m.h5", file_of(ZEROS, **options), dict.fromkeys(KINDS, NOISE)))
    with h5py.File(stream, "r+") as file:
        file["later"] = np.arange(5000)
        file["both_ways"].resize((60, 70))
        file["both_ways"][26:] = 1
        file["fixed"][...] = ZEROS
    arrays = files.truth(stream.getvalue())
    assert (arrays["both_ways"][:26, :40] == NOISE).all()
    assert (arrays["both_ways"][26:] == 1).all()
    assert not arrays["fixed"].any()
    assert (arrays["single"] == NOISE).all()
    assert (arrays["later"] == np.arange(5000)).all()


def test_only_chunks_that_change_are_written() -> None:
    data = file_of(NOISE)
    new = NOISE.copy()
    new[9, 9] = 0
    found = spliced("m.h5", data, {"fixed": new})
    stored = []
    for file in (data, found):
        (tensor,) = (t for t in layouts({"m.h5": BytesSource(file)})["m.h5"].tensors if t.name == "fixed")
        stored.append([file[extent.offset : extent.offset + extent.length] for extent in tensor.extents])
    assert sum(one != two for one, two in zip(*stored, strict=True)) == 1


def test_a_file_that_keeps_account_of_its_free_space_is_refused() -> None:
    data = file_of(ZEROS, fs_strategy="fsm", fs_persist=True)
    folder = {"m.h5": BytesSource(data)}
    layout = layouts(folder)["m.h5"]
    reasons = refusals("m.h5", layout, folder, [tensor.name for tensor in layout.tensors])
    assert set(reasons) == set(KINDS)
    assert "keeps account of its free space" in reasons["fixed"]


def test_other_filters_are_refused() -> None:
    data = files.write(lambda file: file.create_dataset("a", data=ZEROS, chunks=(8, 8), compression="lzf"))
    folder = {"m.h5": BytesSource(data)}
    assert refusals("m.h5", layouts(folder)["m.h5"], folder, ["a"]) == {
        "a": "is written with the filter lzf, which is not known here"
    }


def test_weights_in_an_archive_that_grow() -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("model.weights.h5", file_of(ZEROS))
        archive.writestr("config.json", "{}")
    found = spliced("m.keras", stream.getvalue(), dict.fromkeys(KINDS, NOISE))
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["metadata.json", "model.weights.h5", "config.json"]
        arrays = files.truth(archive.read("model.weights.h5"))
    assert all((arrays[name] == NOISE).all() for name in KINDS)


@pytest.mark.parametrize(
    ("data", "expected"), [(b"", 0xDEADBEEF), (b"Four score and seven years ago", 0x17770551)]
)
def test_the_checksum_of_metadata_is_jenkins(data: bytes, expected: int) -> None:
    assert lookup3(data) == expected
