"""Zip archives of torch and numpy: byte for byte what their writers would have written, and sound when members move."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import numpy as np
import pytest
import torch

from lepton_ai.formats.contract import BytesSource, PartSource
from lepton_ai.formats.detect import layouts
from lepton_ai.formats.splice import Refused, refusals, splice, zip_records
from lepton_ai.formats.zip_members import DEFLATED, members
from lepton_ai.testing.formats import read_tensors
from lepton_ai.testing.splicing import whole
from tests.formats import torch_archives as made

pytestmark = pytest.mark.frameworks


def spliced(name: str, data: bytes, news: dict[str, Any]) -> bytes:
    folder = {name: BytesSource(data)}
    changes = {key: BytesSource(np.ascontiguousarray(array).tobytes()) for key, array in news.items()}
    found = splice(name, layouts(folder)[name], folder, changes)
    return whole(found.get(name, folder[name]))


def test_it_is_the_file_that_torch_would_have_written() -> None:
    """Checksums in the directory and behind each member, and the id that torch makes of all of them."""
    ours = {"a": torch.arange(1000.0), "b": torch.ones(7, dtype=torch.bfloat16), "c": torch.zeros(3)}
    theirs = {**ours, "a": torch.arange(1000.0) * 3, "c": torch.ones(3)}
    news = {"a": theirs["a"].numpy(), "c": theirs["c"].numpy()}
    assert spliced("m.pt", made.saved(ours), news) == made.saved(theirs)


def test_an_archive_without_checksums_stays_without() -> None:
    before = torch.serialization.get_crc32_options()
    torch.serialization.set_crc32_options(False)
    try:
        ours, theirs = (made.saved({"a": tensor}) for tensor in (torch.zeros(9), torch.ones(9)))
    finally:
        torch.serialization.set_crc32_options(before)
    assert spliced("m.pt", ours, {"a": np.ones(9, np.float32)}) == theirs


def test_it_is_the_file_that_numpy_would_have_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.localtime", lambda *_: (2026, 1, 1, 0, 0, 0, 0, 1, 0))
    ours = {"a": np.zeros(50_000, np.float32), "b": np.arange(5)}
    theirs = {**ours, "a": np.random.default_rng(1).normal(size=50_000).astype(np.float32)}
    for save in (np.savez, np.savez_compressed):
        files = []
        for arrays in (ours, theirs):
            stream = io.BytesIO()
            save(stream, **arrays)
            files.append(stream.getvalue())
        assert spliced("m.npz", files[0], {"a": theirs["a"]}) == files[1]


def mixed(data: bytes, packed: str) -> bytes:
    """An archive of torch's with one storage deflated, the others where torch aligns them."""
    stream = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(stream, "w") as new:
        for info in old.infolist():
            content = old.read(info)
            fresh = zipfile.ZipInfo(info.filename)
            fresh.compress_type = (
                zipfile.ZIP_DEFLATED if info.filename.endswith(packed) else zipfile.ZIP_STORED
            )
            pad = -(stream.tell() + 30 + len(info.filename) + 4) % 64
            fresh.extra = struct.pack("<2H", 0x4246, pad) + b"Z" * pad
            new.writestr(fresh, content)
    return stream.getvalue()


@pytest.mark.parametrize("scale", [0, 1, 1000])
def test_storages_stay_aligned_when_what_is_before_them_changes_its_length(scale: int) -> None:
    ours = {"a": torch.arange(3000.0).sin(), "b": torch.arange(5.0), "c": torch.ones(3)}
    data = mixed(made.saved(ours), "data/0")
    assert [m.offset % 64 for m in members(BytesSource(data)) if "/data/" in m.name] == [0, 0, 0]
    new = np.random.default_rng(2).normal(size=3000).astype(np.float32) * scale
    found = spliced("m.pt", data, {"a": new})
    assert len(found) != len(data)
    after = members(BytesSource(found))
    assert [m.offset % 64 for m in after if "/data/" in m.name] == [0, 0, 0]
    with zipfile.ZipFile(io.BytesIO(found)) as archive:
        assert archive.testzip() is None
    loaded = torch.load(io.BytesIO(found))
    assert loaded["a"].numpy().tobytes() == new.tobytes()
    assert torch.equal(loaded["c"], ours["c"])


def wide(arrays: dict[str, Any], method: int) -> bytes:
    """Members with sizes of 64 bits, described behind them: written without knowing how long they will be."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: object) -> int:
            raise io.UnsupportedOperation

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", method) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array)
    return pipe.getvalue()


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_sizes_of_64_bits_and_descriptors(method: int) -> None:
    arrays = {"a": np.zeros(5000), "b": np.arange(7.0), "c": np.ones(3)}
    data = wide(arrays, method)
    news = {"a": np.random.default_rng(1).normal(size=5000), "b": np.arange(7.0) + 1}
    found = spliced("m.npz", data, news)
    assert found == wide({**arrays, **news}, method)
    with np.load(io.BytesIO(found)) as archive:
        assert {name: array.tolist() for name, array in archive.items()} == {
            name: array.tolist() for name, array in {**arrays, **news}.items()
        }


def test_a_member_that_is_not_described_where_it_ends_is_refused() -> None:
    data = bytearray(made.saved({"a": torch.zeros(4)}))
    (member,) = (m for m in members(BytesSource(bytes(data))) if m.name.endswith("data/0"))
    data[member.offset + member.packed] ^= 1
    folder = {"m.pt": BytesSource(bytes(data))}
    (why,) = refusals("m.pt", layouts(folder)["m.pt"], folder, ["a"]).values()
    assert "not described where it ends" in why


def test_an_archive_that_would_need_wider_numbers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.BytesIO()
    np.savez_compressed(stream, a=np.zeros(5000), b=np.arange(7.0))
    monkeypatch.setattr(zip_records, "NARROW", 2000)
    with pytest.raises(Refused, match="beyond 4 GiB"):
        spliced("m.npz", stream.getvalue(), {"a": np.random.default_rng(1).normal(size=5000)})


def test_arrays_of_one_deflated_member_change_together() -> None:
    base = torch.arange(12.0)
    data = made.archive(made.members(made.saved({"x": base[:6], "y": base[6:], "z": base})), DEFLATED)
    folder = {"m.pt": BytesSource(data)}
    layout = layouts(folder)["m.pt"]
    assert "to stay as it is" in refusals("m.pt", layout, folder, ["x"])["x"]
    z = np.arange(12, dtype=np.float32) * 2
    found = spliced("m.pt", data, {"x": z[:6], "y": z[6:], "z": z})
    after = dict(read_tensors({"m": BytesSource(found)}, "m", layouts({"m.pt": BytesSource(found)})["m.pt"]))
    assert {name: array.tolist() for name, array in after.items()} == {
        "x": z[:6].tolist(), "y": z[6:].tolist(), "z": z.tolist(),
    }  # fmt: skip
    with pytest.raises(Refused, match="shares its bytes"):
        spliced("m.pt", data, {"x": z[:6], "y": z[6:], "z": z + 1})


def test_a_range_of_a_file_can_be_spliced_like_a_file() -> None:
    data = made.saved({"a": torch.zeros(4)})
    inside = PartSource(BytesSource(b"....." + data + b"..."), 5, len(data))
    layout = layouts({"m.pt": inside})["m.pt"]
    found = splice("m.pt", layout, {"m.pt": inside}, {"a": BytesSource(np.ones(4, np.float32).tobytes())})
    assert whole(found["m.pt"]) == made.saved({"a": torch.ones(4)})
