"""numpy's .npz: a zip archive of .npy members, stored (savez) or deflated (savez_compressed).

Members that are no plain arrays (objects, text, records) stay opaque, the others are seen.

Source: https://numpy.org/doc/stable/reference/generated/numpy.savez.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from lepton_ai.formats import npy, zip_members
from lepton_ai.formats.checks import put
from lepton_ai.formats.contract import Layout, Malformed, Segment, Source, Tensor, partition

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lepton_ai.formats.zip_members import Member


class Npz:
    """The reader."""

    name = "npz"

    def claims(self, path: str, head: bytes) -> bool:
        """Whether it is a zip archive called .npz."""
        return path.lower().endswith(".npz") and head.startswith(b"PK")

    def expects(self, path: str, head: bytes) -> bool:  # noqa: ARG002  (the suffix is this format's own)
        """Whether it is called .npz."""
        return path.lower().endswith(".npz")

    def layout(self, path: str, source: Source, folder: Mapping[str, Source]) -> Layout:  # noqa: ARG002  (contract)
        """Where the arrays of ``path`` sit, under the names that numpy gives them."""
        members = zip_members.members(source)
        return arrays(self.name, source, [(member.name.removesuffix(".npy"), member) for member in members])


def arrays(format_: str, source: Source, named: Iterable[tuple[str, Member]]) -> Layout:
    """The layout of an archive whose .npy members are tensors by the names beside them.

    One member may have several names; its bytes are called by the first.
    """
    found: dict[str, Tensor] = {}
    segments: dict[str, Segment] = {}
    headers: dict[str, npy.Header | Malformed] = {}
    for name, member in named:
        if not member.name.endswith(".npy"):
            continue
        if member.name not in headers:
            headers[member.name] = _header(source, member)
        header = headers[member.name]
        if isinstance(header, Malformed):
            continue
        span = (header.start, header.length)
        tensor = zip_members.tensor(member, name, header.dtype, header.shape, span, "raw", dict(header.args))
        name = put(found, tensor, source.size)  # noqa: PLW2901  (another array may have it)
        if tensor.extents and member.name not in segments:
            segments[member.name] = zip_members.segment(member, name, header.dtype, span)
    unseen = [f"{name} stays opaque: {why}" for name, why in headers.items() if isinstance(why, Malformed)]
    return Layout(
        format_, partition(source.size, segments.values()), tuple(found.values()), note="; ".join(unseen[:3])
    )


def _header(source: Source, member: Member) -> npy.Header | Malformed:
    """What a member says that it is, or why it is no array for us."""
    try:
        header = npy.parse(zip_members.head(source, member, npy.PREFIX + npy.MAX_HEADER))
    except Malformed as refusal:
        return refusal
    if header.start + header.length != member.size:
        return Malformed(f"it has {member.size} bytes, its header promises {header.start + header.length}")
    return header


FORMAT = Npz()
