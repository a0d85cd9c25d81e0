"""Zip archives: the members that tensors lie in, and every record that tells of their checksums, sizes and places.

A member that is an archive or an HDF5 file itself is spliced as one. A deflated member is inflated and deflated
again, unless its bytes stay the same; whatever follows moves, torch's storages to a place as round as before.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping, Sequence

import msgspec

from lepton_ai.formats.contract import BytesSource, Extent, Malformed, PartSource, Source, Tensor
from lepton_ai.formats.hdf5_file.superblock import place_of
from lepton_ai.formats.splice.contract import Edit, Plan, Refused
from lepton_ai.formats.splice.crc32 import crc32, edited_crc32
from lepton_ai.formats.splice.edited import Edited
from lepton_ai.formats.splice.hdf5 import Hdf5
from lepton_ai.formats.splice.plain import Plain, equal
from lepton_ai.formats.splice.streams import Deflated, Inflated
from lepton_ai.formats.splice.torch_ids import SERIALIZATION_ID, serialization_id
from lepton_ai.formats.splice.zip_records import Now, Records, TooLarge
from lepton_ai.formats.zip_members import STORED, Member, members

HEAD = 4096
NO_ROOM = "cannot be replaced: the archive would grow beyond 4 GiB, and has no room to say so"


class Inside(msgspec.Struct):
    """A member in which tensors change."""

    member: Member
    content: Source
    plan: Plan
    names: list[str]


class Zip:
    """The plan for an archive.

    Raises:
        Malformed: it is none.
    """

    def __init__(self, source: Source, tensors: Sequence[Tensor], changed: Collection[str]) -> None:
        self._source, self._members = source, members(source)
        self._records = Records(source, self._members)
        self.refused: dict[str, str] = {}
        self._insides: list[Inside] = []
        for member, inner in _by_member(self._members, tensors):
            names = [tensor.name for tensor in inner if tensor.name in changed]
            if not names:
                continue
            try:
                self._records.descriptor(member)
                content, plan = self._inside(member, inner, names)
            except Malformed as problem:
                self.refused |= dict.fromkeys(names, f"cannot be replaced: {problem}")
                continue
            self.refused |= plan.refused
            self._insides.append(Inside(member, content, plan, names))

    def _inside(self, member: Member, inner: list[Tensor], names: Collection[str]) -> tuple[Source, Plan]:
        """The member's content, and how tensors are replaced in it."""
        packed = PartSource(self._source, member.offset, member.packed)
        content = packed if member.method == STORED else Inflated(packed, member.size)
        head = content.read(0, min(HEAD, member.size))
        make: type[Zip | Hdf5 | Plain] = Plain
        if place_of(head) is not None:
            make = Hdf5
        elif head.startswith(b"PK\x03\x04") and member.method == STORED:
            make = Zip
        return content, make(content, inner, names)

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """Those of the members, and of the records around them."""
        fresh: dict[int, tuple[list[Edit], Now]] = {}
        for inside in self._insides:
            edits = inside.plan.edits({name: news[name] for name in inside.names if name in news})
            if edits:
                fresh |= self._member(inside.member, inside.content, edits)
        fresh |= self._identified({header: now.crc for header, (_, now) in fresh.items()})
        try:
            return self._written(fresh)
        except TooLarge:
            raise Refused(dict.fromkeys(news, NO_ROOM)) from None

    def _member(
        self, member: Member, content: Source, edits: list[Edit]
    ) -> dict[int, tuple[list[Edit], Now]]:
        """Edits of the archive within a member, and what its records are to say; nothing when it stays as it is."""
        new = Edited(content, edits)
        if member.method == STORED:
            crc = self._checked(member, content, edits)
            moved = [edit._replace(offset=edit.offset + member.offset) for edit in edits]
            return {member.header: (moved, Now(crc, new.size, new.size, member.header))}
        if equal(content, new):
            return {}
        packed = Deflated(new)
        whole = [Edit(member.offset, member.packed, packed)]
        now = Now(self._checked(member, content, edits), packed.size, new.size, member.header)
        return {member.header: (whole, now)}

    def _checked(self, member: Member, content: Source, edits: list[Edit]) -> int:
        """The new checksum; 0 when there is none (torch can be told to write none), and none is wanted then."""
        if member.crc == 0 and crc32(content) != 0:
            return 0
        return edited_crc32(member.crc, content, edits)

    def _identified(self, crcs: Mapping[int, int]) -> dict[int, tuple[list[Edit], Now]]:
        """The member in which torch keeps an id made of all checksums, when it does."""
        for member in self._members:
            if member.name.endswith(SERIALIZATION_ID) and member.method == STORED and crcs:
                content = PartSource(self._source, member.offset, member.packed)
                found = serialization_id(content, [m for m in self._members if m is not member], crcs)
                if found:
                    return self._member(member, content, [Edit(0, member.size, BytesSource(found))])
        return {}

    def _written(self, fresh: Mapping[int, tuple[list[Edit], Now]]) -> list[Edit]:
        """All edits, in the order of the archive, with later members' places."""
        result: list[Edit] = []
        says: dict[int, Now] = {}
        shift = 0
        for member in sorted(self._members, key=lambda member: member.header):
            edits, now = fresh.get(member.header, ([], None))
            says[member.header] = said = now or Now(member.crc, member.packed, member.size, member.header)
            said.header = member.header + shift
            if now or shift:
                edits = self._around(member, said, shift) + edits
                result += edits
                shift += sum(edit.new.size - edit.length for edit in edits)
        return result + self._records.directory(says, shift)

    def _around(self, member: Member, now: Now, shift: int) -> list[Edit]:
        """Edits of the records before and behind a member's bytes."""
        local, behind = self._records.local(member, now, shift), member.offset + member.packed
        described = self._records.described(member, now)
        runs = ((member.header, member.offset - member.header, local), (behind, len(described), described))
        return [
            Edit(place, length, BytesSource(data))
            for place, length, data in runs
            if data != self._source.read(place, length)
        ]


def _by_member(found: Sequence[Member], tensors: Sequence[Tensor]) -> list[tuple[Member, list[Tensor]]]:
    """The members that hold tensors, which are told as they lie in the member's (inflated) content."""
    ordered = sorted((member for member in found if member.size), key=lambda member: member.offset)
    starts = [member.offset for member in ordered]
    inside: dict[int, list[Tensor]] = {}
    for tensor in tensors:
        for number in {bisect_right(starts, extent.offset) - 1 for extent in tensor.extents}:
            if number < 0:
                raise Malformed(f"{tensor.name!r} lies in no member")
            inside.setdefault(number, []).append(_within(ordered[number], tensor))
    return [(ordered[number], inner) for number, inner in inside.items()]


def _within(member: Member, tensor: Tensor) -> Tensor:
    if tensor.encoding == "deflated":
        args = tensor.args
        extents: tuple[Extent, ...] = (Extent(args["start"], args["length"]),)
        return msgspec.structs.replace(
            tensor, extents=extents, encoding=args["encoding"], args=args.get("args", {})
        )
    extents = tuple(Extent(extent.offset - member.offset, extent.length) for extent in tensor.extents)
    return msgspec.structs.replace(tensor, extents=extents)
