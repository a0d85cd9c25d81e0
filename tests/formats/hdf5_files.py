"""HDF5 files as h5py writes them, in every shape that the library has; and what h5py reads back from them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import h5py
import ml_dtypes
import numpy as np
from h5py import h5d, h5p, h5s, h5t

if TYPE_CHECKING:
    from collections.abc import Callable

    from lepton_ai.testing.formats import Array

RNG = np.random.default_rng(5)
BOX = RNG.standard_normal((9, 7)).astype(np.float32)
LITTLE = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8", "c8", "c16", "?"]
BIG = [">i2", ">u8", ">f2", ">f4", ">f8", ">c8"]


def write(*fillers: Callable[[h5py.File], object], **options: Any) -> bytes:
    """The bytes of a file that the fillers filled."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", **options) as file:
        for fill in fillers:
            fill(file)
    return buffer.getvalue()


def truth(data: bytes) -> dict[str, Array]:
    """Every array that h5py finds, by all names of its dataset, in native byte order."""
    found: dict[str, Array] = {}
    seen = set()

    def visit(group: h5py.Group, path: str) -> None:
        for name in sorted(group):
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                continue
            item = group[name]
            if isinstance(item, h5py.Dataset):
                found[path + name] = native(item)
            elif isinstance(item, h5py.Group) and (address := address_of(item)) not in seen:
                seen.add(address)
                visit(item, f"{path}{name}/")

    with h5py.File(io.BytesIO(data)) as file:
        seen.add(address_of(file))
        visit(file, "")
    return found


def address_of(group: h5py.Group) -> int:
    return int(h5py.h5o.get_info(group.id).addr)


def native(dataset: h5py.Dataset) -> Array:
    array = np.asarray(dataset[()])
    if array.dtype == "V2" and dataset.attrs.get("dtype") in {"bfloat16", b"bfloat16"}:
        return array.view(ml_dtypes.bfloat16)
    return array.astype(array.dtype.newbyteorder("="))


def low_level(
    file: h5py.File,
    name: str,
    kind: Any,
    shape: tuple[int, ...],
    array: Array | None,
    prepare: Callable[[Any], object],
) -> None:
    """A dataset with creation properties that h5py's own face does not offer."""
    properties = h5p.create(h5p.DATASET_CREATE)
    prepare(properties)
    dataset = h5d.create(file.id, name.encode(), kind, h5s.create_simple(shape), properties)
    if array is not None:
        dataset.write(h5s.ALL, h5s.ALL, array)


def every_type(file: h5py.File) -> None:
    for code in LITTLE + BIG:
        file[f"types/{code}"] = (RNG.random((3, 5)) * 100).astype(code)
    file["types/bfloat16"] = np.arange(-3, 9).astype(ml_dtypes.bfloat16)
    file["types/bfloat16"].attrs["dtype"] = "bfloat16"
    file["types/bfloat16_bytes"] = np.arange(-3, 9).astype(ml_dtypes.bfloat16)
    file["types/bfloat16_bytes"].attrs["dtype"] = np.bytes_(b"bfloat16")
    file["types/committed"] = np.dtype("i4")
    for name in ("first", "second"):
        file.create_dataset(f"types/of_{name}", data=[1, 2, 3], dtype=file["types/committed"])


def shapes(file: h5py.File) -> None:
    file["scalar"] = np.float32(3.5)
    file["empty"] = np.zeros((0, 4), np.float32)
    file["deep/er/and/deeper"] = np.arange(24.0).reshape(2, 3, 4)
    file["Größe 名"] = np.arange(3)
    file.create_dataset("never", (5, 6), "f4", fillvalue=2.5)
    file.create_dataset("never_big", (5, 6), ">i8", fillvalue=-7)
    file.create_dataset("never_zero", (5, 6), "u2")
    low_level(file, "compact", h5t.NATIVE_FLOAT, BOX.shape, BOX, lambda p: p.set_layout(h5d.COMPACT))


def links(file: h5py.File) -> None:
    file["group/inside/data"] = np.arange(7.0)
    file["again"] = file["group/inside/data"]
    file["group/twice"] = file["group/inside/data"]
    file["group/root"] = file["/"]
    file["other_way"] = file["group/inside"]
    file["soft"] = h5py.SoftLink("/group/inside/data")
    file["external"] = h5py.ExternalLink("elsewhere.h5", "/data")


def chunks(file: h5py.File) -> None:
    """Every kind of chunk index (with libver="latest"), filtered and not."""
    grow, packed = (None, 7), {"compression": "gzip", "shuffle": True, "fletcher32": True}
    for name, options in {
        "fixed": {"chunks": (4, 3)},
        "fixed_packed": {"chunks": (4, 3), **packed},
        "bounded": {"chunks": (4, 3), "maxshape": (50, 40)},
        "growing": {"chunks": (1, 1), "maxshape": grow},
        "growing_sideways": {"chunks": (2, 1), "maxshape": (9, None)},
        "growing_packed": {"chunks": (4, 3), "maxshape": grow, "compression": "gzip"},
        "both_ways": {"chunks": (3, 7), "maxshape": (None, None)},
        "both_ways_packed": {"chunks": (1, 1), "maxshape": (None, None), **packed},
        "single": {"chunks": (9, 7)},
        "single_packed": {"chunks": (9, 7), **packed},
        "larger_than_itself": {"chunks": (16, 16), "maxshape": (None, None)},
        "checked": {"chunks": (4, 3), "fletcher32": True},
        "big_endian": {"chunks": (4, 3), "dtype": ">f4", "compression": "gzip"},
    }.items():
        file.create_dataset(f"chunks/{name}", data=BOX, **options)
    file.create_dataset("chunks/odd_sum", data=np.arange(5, dtype="u1"), chunks=(5,), fletcher32=True)
    file.create_dataset("chunks/complex", data=BOX + 1j * BOX, chunks=(4, 3), shuffle=True)
    file.create_dataset("chunks/empty", (0, 7), "f4", chunks=(4, 7), maxshape=grow)
    sparse = file.create_dataset(
        "chunks/sparse", (20, 20), ">f4", chunks=(10, 10), fillvalue=7, maxshape=(None, 20)
    )
    sparse[15] = 1
    shrunk = file.create_dataset("chunks/shrunk", data=BOX, chunks=(4, 3), maxshape=grow)
    shrunk.resize((5, 7))

    def early(properties: Any) -> None:
        properties.set_chunk((4, 3))
        properties.set_alloc_time(h5d.ALLOC_TIME_EARLY)

    low_level(file, "chunks/implicit", h5t.NATIVE_FLOAT, BOX.shape, BOX, early)


def pages(file: h5py.File) -> None:
    """Chunk indexes that are cut into pages, with pages missing."""
    file.create_dataset("pages/fixed", data=np.arange(1500, dtype="u2"), chunks=(1,))
    file.create_dataset(
        "pages/fixed_packed", data=np.arange(1100, dtype="u2"), chunks=(1,), compression="gzip"
    )
    file.create_dataset("pages/fixed_sparse", (30_000,), "i4", chunks=(1,))[[12_345, 29_999]] = 5
    file.create_dataset("pages/growing", data=np.arange(3000, dtype="u2"), chunks=(1,), maxshape=(None,))
    sparse = file.create_dataset("pages/growing_sparse", (200_000,), "i4", chunks=(1,), maxshape=(None,))
    sparse[[2, 77, 123_450, 199_999]] = 5


def opaque(file: h5py.File) -> None:
    """Things that are no tensors."""
    file["opaque/text"] = "hello"
    file["opaque/fixed_text"] = np.array([b"ab", b"cd"])
    file["opaque/compound"] = np.zeros(3, [("a", "f4"), ("b", "i4")])
    file["opaque/pair"] = np.zeros(3, [("a", "f4"), ("b", "f4")])
    file["opaque/two_bytes"] = np.zeros(3, "V2")
    file["opaque/null"] = h5py.Empty("f4")
    file.create_dataset("opaque/arrays", (3,), np.dtype("(2,2)f4"))
    file.create_dataset("opaque/ragged", (2,), h5py.vlen_dtype("f4"))[0] = np.ones(3)
    file.create_dataset("opaque/reference", data=file["opaque"].ref, dtype=h5py.ref_dtype)
    file.create_dataset("opaque/choice", data=[0, 1], dtype=h5py.enum_dtype({"RED": 0, "BLUE": 1}, "i1"))
    low_level(file, "opaque/twelve_bits", twelve_bits(), (2,), None, lambda p: None)
    low_level(
        file, "opaque/elsewhere", h5t.NATIVE_FLOAT, (4,), None, lambda p: p.set_external(b"other.bin", 0, 16)
    )
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (4,))
    file.create_virtual_dataset("opaque/virtual", layout)
    file.create_dataset("opaque/boundless", (1 << 40,), "f4", chunks=(1 << 10,))


def twelve_bits() -> Any:
    kind = h5t.NATIVE_INT16.copy()
    kind.set_precision(12)
    return kind


def many(count: int, *, track_order: bool = False) -> Callable[[h5py.File], None]:
    def fill(file: h5py.File) -> None:
        group = file.create_group("many", track_order=track_order)
        for number in range(count):
            group[f"dataset_with_a_long_name_{number:05}"] = np.full(2, number, "i2")

    return fill
