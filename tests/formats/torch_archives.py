"""Archives of PyTorch for the tests: written by torch, and put together by hand."""

from __future__ import annotations

import io
import warnings
import zipfile
from typing import Any

import ml_dtypes
import numpy as np
import torch

from lepton_ai.testing.formats import Array

Tensors = dict[str, torch.Tensor]
SMALL = {
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float8_e4m3fn: ml_dtypes.float8_e4m3fn,
    torch.float8_e5m2: ml_dtypes.float8_e5m2,
    torch.float8_e4m3fnuz: ml_dtypes.float8_e4m3fnuz,
    torch.float8_e5m2fnuz: ml_dtypes.float8_e5m2fnuz,
    torch.float8_e8m0fnu: ml_dtypes.float8_e8m0fnu,
}
PLAIN = "float64 float32 float16 int64 int32 int16 int8 uint64 uint32 uint16 uint8 bool complex64 complex128"


class Net(torch.nn.Module):
    """Has what makes files difficult: tied layers, a transposed buffer, one that is not saved, a view."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.Linear(3, 4)
        self.norm = torch.nn.BatchNorm1d(4)
        self.tied = self.first
        self.register_buffer("transposed", torch.arange(6.0).reshape(2, 3).t())
        self.register_buffer("view", torch.arange(20.0)[5:12:2])
        self.register_buffer("scratch", torch.ones(2), persistent=False)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        return self.norm(self.first(value)) + self.scratch.sum()


def net() -> Net:
    torch.manual_seed(3)
    model = Net()
    return model.eval()


def array(tensor: torch.Tensor) -> Array:
    """What a tensor holds, as numpy has it."""
    tensor = tensor.detach()
    if tensor.dtype in SMALL:
        plain = torch.int16 if tensor.dtype is torch.bfloat16 else torch.uint8
        return tensor.view(plain).numpy().view(SMALL[tensor.dtype])
    return tensor.numpy()


def arrays(tensors: Tensors) -> dict[str, Array]:
    return {name: array(tensor) for name, tensor in tensors.items()}


def every_type() -> Tensors:
    rng = np.random.default_rng(2)
    found = {name: torch.from_numpy((rng.normal(size=(3, 5)) * 99).astype(name)) for name in PLAIN.split()}
    for dtype in SMALL:
        size = torch.empty(0, dtype=dtype).element_size()
        found[str(dtype)] = torch.from_numpy(rng.integers(0, 255, (4, 6 * size), np.uint8)).view(dtype)
    return found


def saved(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def scripted(model: torch.nn.Module) -> bytes:
    stream = io.BytesIO()
    with warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".*torch.jit.*", category=DeprecationWarning
        )  # (it is deprecated)
        torch.jit.save(torch.jit.script(model), stream)
    return stream.getvalue()


def exported(model: torch.nn.Module) -> bytes:
    stream = io.BytesIO()
    program = torch.export.export(model, (torch.randn(5, 3),))
    with warnings.catch_warnings():
        # torch warns of buffers that do not fill their storage, which are what we want to see
        warnings.filterwarnings("ignore", message="No complete tensor found", category=UserWarning)
        torch.export.save(program, stream)
    return stream.getvalue()


def members(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def archive(content: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as file:
        for name, data in content.items():
            file.writestr(name, data)
    return stream.getvalue()


def state(pickle: bytes, *storages: bytes, **more: bytes) -> bytes:
    """An archive around a pickle written by hand."""
    content = {"m/data.pkl": pickle, "m/byteorder": b"little"}
    content |= {f"m/data/{number}": storage for number, storage in enumerate(storages)}
    return archive(content | {f"m/{name}": data for name, data in more.items()})


def text(value: str) -> bytes:
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def number(value: int) -> bytes:
    return b"\x8a\x10" + value.to_bytes(16, "little", signed=True)


def numbers(values: tuple[int, ...]) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def storage(key: str = "0", count: int = 4, kind: str = "FloatStorage") -> bytes:
    return (
        b"("
        + text("storage")
        + f"ctorch\n{kind}\n".encode()
        + text(key)
        + text("cpu")
        + number(count)
        + b"tQ"
    )


def tensor(
    shape: tuple[int, ...] = (4,),
    strides: tuple[int, ...] = (1,),
    offset: int = 0,
    within: bytes | None = None,
) -> bytes:
    """The opcodes of a tensor of four float32 in storage 0, or of something that says it is one."""
    inside = storage() if within is None else within
    args = inside + number(offset) + numbers(shape) + numbers(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + args + b"tR"


def table(*items: tuple[bytes, bytes]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in items) + b"u"


def pickle(value: bytes) -> bytes:
    return b"\x80\x02" + value + b"."
