"""A reader written from docs/format.md alone: nothing of lepton_ai is imported here, and it must stay so."""

from __future__ import annotations

import base64
import json
import struct
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import zstandard
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from tests.store import stranger_tiles

Place = tuple[Path, int]


class Stranger:
    """Reads the objects of the repository in ``folder`` (which holds ``packs/``) with the keys in ``keys``."""

    def __init__(self, folder: Path, keys: Path, master: bytes | None) -> None:
        self.sealing: dict[bytes, bytes] = {}
        if master is None:
            self.id_key = base64.b64decode(json.loads((keys / "plain.json").read_text())["id_key"])
        else:
            self.id_key = _sealed_key(keys / "id.json", master)
            for path in keys.glob("sealing-*.json"):
                key_id = bytes.fromhex(json.loads(path.read_text())["id"])
                self.sealing[key_id] = _sealed_key(path, master)
        self.places: dict[bytes, list[Place]] = {}
        for path in folder.glob("packs/??/*.pack"):
            for id_, offset in _contents(path):
                self.places.setdefault(id_, []).append((path, offset))

    def read(self, id_: bytes) -> bytes:
        """An object by its id, from a representation without a base if there is one."""
        return self.read_at(id_, min(self.places[id_], key=_has_base))

    def read_at(self, id_: bytes, place: Place) -> bytes:
        """The object as it stands at one place."""
        path, offset = place
        data = path.read_bytes()[offset:]
        assert data[:4] == b"LpO\x01"
        flags, _kind, seal, codec, version, width, _element, _depth = data[4:12]
        plain_length, body_length = struct.unpack_from("<II", data, 20)
        size = 92 if flags & 1 else 60
        header, body = data[:size], data[size : size + body_length]
        assert header[28:60] == id_
        assert version == 1
        if seal == 1:
            payload = AESGCM(self.sealing[header[12:20]]).decrypt(body[:12], body[12:], header)
        else:
            payload = body[:-16]
            assert blake3(struct.pack("<I", size) + header + payload).digest()[:16] == body[-16:]
        base = self.read(header[60:92]) if flags & 1 else b""
        plain = _decode(codec, payload, width, base, plain_length)
        assert len(plain) == plain_length
        assert blake3(plain, key=self.id_key).digest() == id_
        return plain

    def file(self, content: tuple) -> bytes:  # type: ignore[type-arg]
        """A file by the fields of its content."""
        size, _, runs, streams = content
        joined = [b"".join(self.read(s[3][i : i + 32]) for i in range(0, len(s[3]), 32)) for s in streams]
        used, result = [0] * len(streams), b""
        for number, length in runs:
            result += joined[number][used[number] : used[number] + length]
            used[number] += length
        assert len(result) == size
        return result


def by_key_file(keys: Path, key_file: Path) -> bytes:
    """The master key, by a key file or the file of a recovery key."""
    first, *lines = key_file.read_text().splitlines()
    fields = dict(line.split(": ") for line in lines if not line.startswith("#"))
    if first == "lepton-ai key file 1":
        secret, kind = bytes.fromhex(fields["key"]), "key-file"
        assert blake3(b"lepton-ai key check" + secret).digest()[:4].hex() == fields["check"]
    else:
        assert first == "lepton-ai recovery key 1"
        number = 0
        for character in fields["key"].replace("-", ""):
            number = number * 32 + "0123456789ABCDEFGHJKMNPQRSTVWXYZ".index(character)
        secret, kind = (number >> 20).to_bytes(20, "big"), "recovery"
        check = int.from_bytes(blake3(b"lepton-ai key check" + secret).digest()[:4], "big") >> 12
        assert number & 0xFFFFF == check
    return _open_envelope(
        keys, kind, blake3(secret, derive_key_context=f"lepton-ai 2026-11 envelope {kind}").digest()
    )


def by_passphrase(keys: Path, passphrase: str) -> bytes:
    """The master key, by a passphrase."""
    (path,) = (p for p in keys.glob("envelope-*.json") if json.loads(p.read_text())["kind"] == "passphrase")
    how = json.loads(path.read_text())["argon2id"]
    derivation = Argon2id(
        salt=base64.b64decode(how["salt"]), length=32, iterations=how["iterations"], lanes=how["lanes"],
        memory_cost=how["memory"],
    )  # fmt: skip
    return _open_envelope(
        keys, "passphrase", derivation.derive(unicodedata.normalize("NFC", passphrase).encode())
    )


def _open_envelope(keys: Path, kind: str, key: bytes) -> bytes:
    (fields,) = (f for p in keys.glob("envelope-*.json") if (f := json.loads(p.read_text()))["kind"] == kind)
    return _open(key, fields, ("lepton-ai", "1", "envelope", kind, fields["repository"]))


def _sealed_key(path: Path, master: bytes) -> bytes:
    fields = json.loads(path.read_text())
    label = (
        "lepton-ai",
        "1",
        "key",
        fields["purpose"],
        fields["repository"],
        fields["id"],
        str(fields["number"]),
    )
    return _open(master, fields, label)


def _open(key: bytes, fields: dict[str, str], label: tuple[str, ...]) -> bytes:
    nonce, sealed = base64.b64decode(fields["nonce"]), base64.b64decode(fields["sealed"])
    return AESGCM(key).decrypt(nonce, sealed, "\0".join(label).encode())


def _contents(path: Path) -> Iterator[tuple[bytes, int]]:
    """Ids and offsets, by the pack's footer."""
    data = path.read_bytes()
    assert path.stem == blake3(data).hexdigest()
    assert path.parent.name == path.stem[:2]
    assert data[:8] == b"LpPack\x01\x00"
    length, count, digest, tail = struct.unpack("<QQ32s8s", data[-56:])
    footer = data[-56 - length : -56]
    assert tail == b"LpFoot\x01\x00"
    assert blake3(footer).digest() == digest
    assert footer[:8] == b"LpToc\0\x01\x00"
    place, offset, found = 8, 16, 0
    while place < length:
        size = 92 if footer[place + 4] & 1 else 60
        yield footer[place + 28 : place + 60], offset
        offset += size + struct.unpack_from("<I", footer, place + 24)[0]
        place += size
        found += 1
    assert (found, offset + length + 56) == (count, len(data))


def _has_base(place: Place) -> bool:
    path, offset = place
    return bool(path.read_bytes()[offset + 4] & 1)


def _decode(codec: int, payload: bytes, width: int, base: bytes, length: int) -> bytes:
    if codec == 0:
        return payload
    if codec == 1:
        return _frame(payload, length)
    if codec in {4, 5}:
        return stranger_tiles.decode(codec, payload, width, base, length)
    if codec == 6:
        return _sparse(payload, width, base, length)
    numbers, rest = _planes(payload, width, length)
    if codec == 3:
        assert len(base) == length
        old = _numbers(base, width, length // width)
        numbers = [_moved(y, z, width) for y, z in zip(old, numbers, strict=True)]
    else:
        assert codec == 2
    return _joined(numbers, width) + rest


def _planes(payload: bytes, width: int, length: int) -> tuple[list[int], bytes]:
    count = length // width
    sizes = struct.unpack_from(f"<{width}I", payload)
    start, planes = 4 * width, []
    for size in sizes:
        coded = payload[start : start + size]
        planes.append(coded if size == count else _frame(coded, count))
        start += size
    rest = payload[start:]
    assert len(rest) == length % width
    return [int.from_bytes(digits, "little") for digits in zip(*planes, strict=True)], rest


def _numbers(data: bytes, width: int, count: int) -> list[int]:
    return [int.from_bytes(data[i * width : (i + 1) * width], "little") for i in range(count)]


def _joined(numbers: list[int], width: int) -> bytes:
    return b"".join(number.to_bytes(width, "little") for number in numbers)


def _moved(y: int, z: int, width: int) -> int:
    return (y + _unzigzag(z)) % (1 << 8 * width)


def _unzigzag(z: int) -> int:
    return (z >> 1) ^ -(z & 1)


def _sparse(payload: bytes, width: int, base: bytes, length: int) -> bytes:
    assert len(base) == length
    count, size, stored = struct.unpack_from("<III", payload)
    gaps = payload[12 : 12 + stored]
    gaps = gaps if stored == size else _frame(gaps, size)
    assert sum(byte < 255 for byte in gaps) == count
    assert not gaps or gaps[-1] < 255
    rest = length % width
    changes, end = _planes(payload[12 + stored :], width, count * width + rest)
    numbers = _numbers(base, width, length // width)
    place, change = 0, iter(changes)
    for byte in gaps:
        place += byte
        if byte < 255:
            numbers[place] = _moved(numbers[place], next(change), width)
            place += 1
    return _joined(numbers, width) + end


def _frame(data: bytes, length: int) -> bytes:
    assert zstandard.frame_content_size(data) == length
    return zstandard.ZstdDecompressor().decompress(data)
