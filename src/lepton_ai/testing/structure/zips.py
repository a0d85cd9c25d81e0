"""Zip archives whose members or records lie, while the rest of the archive stays consistent around the lie."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable

from lepton_ai.testing.mutations import mutate as blind
from lepton_ai.testing.structure import hdf5, json_values, npy, pickles
from lepton_ai.testing.structure.contract import Mutator, NotStructured
from lepton_ai.testing.structure.numbers import hostile, hostile_text, rounds
from lepton_ai.testing.structure.zip_parts import (
    CENTRAL,
    DEFLATED,
    END,
    END64,
    LOCAL,
    STORED,
    Archive,
    Part,
    put_together,
    take_apart,
)

INSIDE: dict[bytes, Mutator] = {
    b".pkl": pickles.mutate, b".json": json_values.mutate, b".npy": npy.mutate, b".h5": hdf5.mutate,
}  # fmt: skip


def mutate(data: bytes, rng: random.Random) -> bytes:
    """An archive with other members, or other records about them."""
    archive = take_apart(data)
    for _ in rounds(rng):
        if archive.parts:
            rng.choice(EDITS)(archive, rng)
    return put_together(archive)


def _content(archive: Archive, rng: random.Random) -> None:
    """Change what is in a member: one that describes others rather than one of numbers."""
    telling = [part for part in archive.parts if _inside(part) is not None]
    part = rng.choice(telling if telling and rng.random() < 0.9 else archive.parts)
    change = _inside(part) or blind
    try:
        part.data = change(part.data, rng)
    except NotStructured:
        part.data = blind(part.data, rng)


def _inside(part: Part) -> Mutator | None:
    found = (change for suffix, change in INSIDE.items() if part.name.endswith(suffix))
    return next(found, mutate if part.data.startswith(b"PK\x03\x04") else None)


def _members(archive: Archive, rng: random.Random) -> None:
    """Lose, double, move or swap members."""
    parts, part = archive.parts, rng.choice(archive.parts)
    how = rng.randrange(5)
    if how == 0:
        parts.remove(part)
    elif how == 1:
        parts.insert(rng.randrange(len(parts)), Part(part.name, part.data, part.method, part.extra))
    elif how == 2:
        rng.shuffle(parts)
    elif how == 3:
        other = rng.choice(parts)
        part.data, other.data = other.data, part.data
    else:
        part.data = rng.choice((b"", part.data[: len(part.data) // 2], part.data + b"\0", part.data * 2))


def _rename(archive: Archive, rng: random.Random) -> None:
    part = rng.choice(archive.parts)
    folder, _, name = part.name.rpartition(b"/")
    others = [other.name.decode("utf-8", "replace") for other in archive.parts]
    name = rng.choice(
        (hostile_text(rng, others).encode("utf-8", "surrogatepass"), b"\xff" + name, name + b"/")
    )
    part.name = (folder + b"/" + name if rng.random() < 0.5 else name)[:65535]


def _packing(archive: Archive, rng: random.Random) -> None:
    """Pack a member in another way, or only say so; encrypt it, or only say so."""
    part = rng.choice(archive.parts)
    if rng.random() < 0.5:
        part.method = rng.choice((STORED, DEFLATED, DEFLATED, 12, 14, 99))
    else:
        part.central["method"] = rng.choice((STORED, DEFLATED, 1, 12, 93))
        if rng.random() < 0.7:
            part.local["method"] = part.central["method"]
    if rng.random() < 0.3:
        part.local["flags"] = part.central["flags"] = rng.choice((0, 1, 8, 64, 1 << 11, 1 << 13, 0xFFFF))


def _field(archive: Archive, rng: random.Random) -> None:
    """A size, place or checksum that lies, in one of a member's records or in both."""
    part = rng.choice(archive.parts)
    names = rng.choice((CENTRAL, LOCAL, ("size", "packed"), ("header",)))
    name = rng.choice(names)
    size = sum(len(other.data) for other in archive.parts)
    value = hostile(
        rng, {"name_length": len(part.name), "method": part.method}.get(name, len(part.data)), size
    )
    for record in rng.choice(((part.central,), (part.local,), (part.central, part.local))):
        record[name] = value
        if name in {"size", "packed"} and rng.random() < 0.5:
            record["size"] = record["packed"] = value


def _overlap(archive: Archive, rng: random.Random) -> None:
    """Several entries of the directory for one local header, as zip bombs have them."""
    part = rng.choice(archive.parts)
    place = rng.choice((0, 0, len(part.data), hostile(rng, 30)))
    for other in rng.sample(archive.parts, min(len(archive.parts), rng.choice((1, 2, 50)))):
        other.central["header"] = place
    if rng.random() < 0.3:
        archive.parts += [Part(b"", b"", central={"header": place}) for _ in range(rng.choice((1, 300)))]


def _zip64(archive: Archive, rng: random.Random) -> None:
    """Sizes and places in 64 bits, right or wrong."""
    part = rng.choice(archive.parts)
    values = [len(part.data), len(part.data), 0]
    if rng.random() < 0.6:
        place = rng.randrange(3)
        values[place] = hostile(rng, values[place], len(part.data))
    count = rng.randrange(4)
    body = b"".join((value % (1 << 64)).to_bytes(8, "little") for value in values[:count])
    extra = struct.pack("<2H", rng.choice((1, 1, 1, 2)), rng.choice((len(body), 65535, 0))) + body
    for key in ("size", "packed", "header")[: rng.randrange(1, 4)]:
        part.central[key] = 0xFFFFFFFF
        if key != "header" and rng.random() < 0.5:
            part.local[key] = 0xFFFFFFFF
    part.central_extra = extra
    part.extra = rng.choice((extra, part.extra))


def _end(archive: Archive, rng: random.Random) -> None:
    """Counts, lengths and places in the end records; a comment; bytes between the parts."""
    how = rng.randrange(4)
    true = {"count": len(archive.parts), "here": len(archive.parts)}
    if how == 0:
        name = rng.choice(END)
        archive.end[name] = hostile(rng, true.get(name, 0))
    elif how == 1:
        archive.end64 = {}
        if rng.random() < 0.6:
            name = rng.choice(END64)
            archive.end64[name] = hostile(rng, true.get(name, 0))
        if rng.random() < 0.6:
            archive.end |= {"count": 0xFFFF, "here": 0xFFFF, "length": 0xFFFFFFFF, "start": 0xFFFFFFFF}
    elif how == 2:
        archive.comment = rng.choice((b"x", b"PK\x05\x06" + b"\0" * 18, b"x" * 65535, b"PK\x05\x06"))
    else:
        archive.before_directory = rng.choice((b"\0", b"PK\x01\x02", b"PK\x06\x06" + b"\0" * 52))


EDITS: tuple[Callable[[Archive, random.Random], None], ...] = (
    *(_content,) * 16, _members, _members, _rename, _rename, _packing, _field, _field, _overlap, _zip64, _end,
)  # fmt: skip
