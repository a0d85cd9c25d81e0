"""PyTorch's zip archives: state dicts and checkpoints (.pt, .pth, .bin), TorchScript, torch.export (.pt2).

The storages are members of their own, uncompressed; what they mean stands in a pickle, which is looked at and
never unpickled, or, in a .pt2, in JSON. Files that ``torch.save`` wrote in its form from before 2020 are
refused: their storages sit between pickles.

Source: https://github.com/pytorch/pytorch/blob/v2.13.0/docs/source/notes/serialization.rst
"""

from __future__ import annotations

import posixpath
import re
from typing import TYPE_CHECKING, Any

import msgspec

from lepton_ai.formats import pickles, zip_members
from lepton_ai.formats.checks import put
from lepton_ai.formats.contract import Layout, Malformed, PartSource, Segment, Source, Tensor, partition
from lepton_ai.formats.encodings.shapes import count_of
from lepton_ai.formats.plain_text import is_plain_text
from lepton_ai.formats.torch_export import payloads
from lepton_ai.formats.torch_tensors import View, named_views
from lepton_ai.formats.zip_members import STORED, Member

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SUFFIXES = (".pt", ".pth", ".bin", ".ckpt", ".pt2", ".ptl")
_OWN = (".pt", ".pth", ".pt2", ".ptl")
_OTHERS = (".npz", ".skops", ".keras")
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
_FIRST_MEMBER = re.compile(rb"[^/]+/data[./].+")
_MAX_CONFIG, _MAX_CONFIGS = 64 << 20, 128
_TORCH_2_7 = ("serialized_state_dict.pt", "serialized_constants.pt")


class Pt:
    """The reader."""

    name = "pt"

    def claims(self, path: str, head: bytes) -> bool:
        """Whether it is a zip archive with torch's suffix, or any whose first member looks like torch's."""
        lower = path.lower()
        if head.startswith(_LEGACY):
            return True
        if not head.startswith(b"PK\x03\x04") or lower.endswith(_OTHERS):
            return False
        first = head[30 : 30 + int.from_bytes(head[26:28], "little")]
        return lower.endswith(SUFFIXES) or _FIRST_MEMBER.fullmatch(first) is not None

    def expects(self, path: str, head: bytes) -> bool:
        """Whether it has one of torch's own suffixes and is no text."""
        return path.lower().endswith(_OWN) and not is_plain_text(head)

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (contract)
        """Where the tensors of ``path`` sit."""
        if source.read(0, min(source.size, len(_LEGACY))) == _LEGACY:
            raise Malformed(
                "torch.save wrote it in its old form (no zip archive); save it again to see its tensors"
            )
        found = _Found(source.size)
        _read(_Archive(source), found)
        return Layout(
            self.name, partition(source.size, found.segments.values()), tuple(found.tensors.values())
        )


class _Archive:
    """The members of an archive below its root folder, by name."""

    def __init__(self, source: Source, within: Member | None = None) -> None:
        self.source = source
        members = zip_members.members(source) if within is None else tuple(_nested(source, within))
        root = members[0].name.partition("/")[0] + "/" if members and "/" in members[0].name else ""
        if any(member.name in _TORCH_2_7 for member in members):
            root = ""
        self.members = {m.name.removeprefix(root): m for m in members if m.name.startswith(root)}
        order = self.text("byteorder", "little")
        if order not in {"little", "big"}:
            raise Malformed("its byte order is not known here")
        self.big = order == "big"

    def text(self, name: str, default: str) -> str:
        if name not in self.members:
            return default
        return zip_members.read(self.source, self.members[name], 64).decode("latin-1").strip()

    def read(self, name: str, limit: int) -> bytes:
        return zip_members.read(self.source, self.members[name], limit)

    def member(self, name: str) -> Member:
        if name not in self.members:
            raise Malformed(f"member {name[:80]!r} is missing")
        return self.members[name]


def _nested(source: Source, within: Member) -> Iterator[Member]:
    """The members of an archive that is a stored member of another, with places in the outer one."""
    if within.method != STORED:
        raise Malformed(f"{within.name!r} is an archive that is packed once more")
    for member in zip_members.members(PartSource(source, within.offset, within.size)):
        yield msgspec.structs.replace(member, offset=member.offset + within.offset)


class _Found:
    """Tensors by name, and the runs of bytes of their storages by place."""

    def __init__(self, size: int) -> None:
        self.size, self.opcodes = size, 0
        self.tensors: dict[str, Tensor] = {}
        self.segments: dict[int, Segment] = {}

    def add(self, name: str, view: View, member: Member, big: bool) -> None:
        if view.storage_bytes not in {None, member.size}:
            raise Malformed(f"the storage of {name[:80]!r} has {member.size} bytes, not {view.storage_bytes}")
        tensor = _tensor(name, view, member, big)
        name = put(self.tensors, tensor, self.size)
        if tensor.extents and member.offset not in self.segments:
            self.segments[member.offset] = zip_members.segment(member, name, view.dtype, (0, member.size))


def _read(archive: _Archive, found: _Found) -> None:
    members = archive.members
    if "data.pkl" in members:
        _read_pickle(archive, "data.pkl", "data", found)
        if "constants.pkl" in members:
            _read_pickle(archive, "constants.pkl", "constants", found, "constants")
    elif "archive_format" in members:
        _read_exported(archive, found)
    elif any(name in members for name in _TORCH_2_7):
        for name in _TORCH_2_7:
            if name in members:
                _read_nested(archive, name, found, "")
    else:
        raise Malformed("it is a zip archive, but none of PyTorch's")


def _read_pickle(archive: _Archive, pickle: str, folder: str, found: _Found, prefix: str = "") -> None:
    value = pickles.load(archive.read(pickle, pickles.MAX_PICKLE), archive.source.size, found.opcodes)
    found.opcodes += value.opcodes
    for name, view in named_views(value, prefix):
        found.add(name, view, archive.member(f"{folder}/{view.storage}"), archive.big)


def _read_nested(archive: _Archive, name: str, found: _Found, prefix: str) -> None:
    inner = _Archive(archive.source, archive.member(name))
    inner.member("data.pkl")
    _read_pickle(inner, "data.pkl", "data", found, prefix)


def _read_exported(archive: _Archive, found: _Found) -> None:
    """The weights and constants of each model of a .pt2; model names are told only when there are several."""
    configs = [
        name for name in archive.members if re.fullmatch(r"data/(weights|constants)/[^/]+_config\.json", name)
    ]
    if len(configs) > _MAX_CONFIGS:
        raise Malformed(f"a program of {len(configs)} configurations of weights")
    several = sum(name.startswith("data/weights/") for name in configs) > 1
    pickled: set[str] = set()
    for config in configs:
        folder, file = posixpath.split(config)
        prefix = re.sub(r"_(weights|constants)_config\.json$", "", file) if several else ""
        for name, beside, view in payloads(archive.read(config, _MAX_CONFIG)):
            label = f"{prefix}.{name}" if prefix else name
            path = f"{folder}/{beside}"
            if view is not None:
                found.add(label, view, archive.member(path), archive.big)
            elif path in archive.members and posixpath.basename(path).startswith(("weight_", "tensor_")):
                if path in pickled:
                    raise Malformed("two weights in one pickle")
                pickled.add(path)
                _read_nested(archive, path, found, label)
    for name in archive.members:  # torch 2.8 kept a state dict in place of each configuration
        if re.fullmatch(r"data/(weights|constants)/[^/]+\.pt", name):
            _read_nested(archive, name, found, "")


def _tensor(name: str, view: View, member: Member, big: bool) -> Tensor:
    """A tensor of our contract: raw where its elements lie in C order without gaps."""
    strides = [stride if extent > 1 else 0 for extent, stride in zip(view.shape, view.strides, strict=True)]
    total, contiguous = count_of(view.shape) * view.bits // 8, _is_contiguous(view.shape, strides)
    size, dtype, shape = view.bits // 8, view.dtype, view.shape
    args: dict[str, Any] = {"byteorder": "big"} if big and size > 1 else {}
    if dtype == "torch.float4_e2m1fn_x2" and shape and contiguous:
        dtype, shape, args = "float4_e2m1fn", (*shape[:-1], 2 * shape[-1]), {"packed": True}
    if not total:
        return Tensor(name, dtype, shape, (), args={"packed": True} if "packed" in args else {})
    if contiguous:
        return zip_members.tensor(member, name, dtype, shape, (view.offset * size, total), "raw", args)
    reach = 1 + sum((extent - 1) * stride for extent, stride in zip(view.shape, strides, strict=True))
    args["strides"] = strides
    if "." in dtype:
        args["itemsize"] = size
    return zip_members.tensor(member, name, dtype, shape, (view.offset * size, reach * size), "strided", args)


def _is_contiguous(shape: tuple[int, ...], strides: list[int]) -> bool:
    step = 1
    for extent, stride in zip(reversed(shape), reversed(strides), strict=True):
        if extent > 1 and stride != step:
            return 0 in shape
        step *= extent
    return True


FORMAT = Pt()
