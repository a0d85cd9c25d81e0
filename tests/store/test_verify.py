"""Damage is found, named, and stops nothing else."""

from __future__ import annotations

import random
import sqlite3
from pathlib import Path

import pytest

from lepton_ai.errors import Damaged, TooNew
from lepton_ai.store.contract import Finding
from lepton_ai.store.packs.format import headers
from lepton_ai.store.packs.reader import read_footer
from tests.store.house import House, block_ids, flip, noise, tuned, weights


def _verify(house: House, *, fast: bool = False) -> list[Finding]:
    return list(house.store.verify(fast=fast))


def _entries(house: House, pack: str) -> list[tuple[int, object]]:
    return list(headers(read_footer(house.blobs, pack, house.file(pack).stat().st_size)))


def test_a_sound_store_has_no_findings(house: House) -> None:
    assert _verify(house, fast=True) == _verify(house) == []
    old = weights(20_000)
    one, _ = house.tensor(old.tobytes())
    house.tensor(tuned(old).tobytes(), one.content)
    with house.store.writer() as writer:
        writer.put(b"manifest")
        writer.finish()
    assert _verify(house, fast=True) == _verify(house) == []


def test_any_flipped_byte_is_found_and_never_read(house: House) -> None:
    """Second law: through the whole pack, in every header, body, footer and trailer."""
    data = weights(3000).tobytes()
    added, written = house.tensor(data)
    path = house.file(written.packs[0])
    whole = path.read_bytes()
    rng = random.Random(0)
    end = len(whole)
    places = [*range(0, 100, 5), *range(end - 130, end, 10), *(rng.randrange(end) for _ in range(20))]
    for place in places:
        flip(path, place)
        findings = _verify(house)
        assert findings, f"byte {place} of {len(whole)}"
        assert {finding.pack for finding in findings} <= {written.packs[0]}
        for read in (house.load, house.filled):
            try:
                assert read(added.content) == data
            except Damaged:
                assert any(finding.lost for finding in findings), place
        path.write_bytes(whole)
        house.store._index.reload(written.packs[0])
    assert _verify(house) == []


def test_every_bit_of_an_object_counts(house: House) -> None:
    """Header, nonce, body, tag: none can change, be cut or be added without being noticed."""
    plain = weights(20).tobytes()
    (id_,) = house.plant([(plain, None)])
    ((place,),) = house.store._index.find([id_]).values()
    reader, path = house.store._reader, house.file(place.pack)
    whole = path.read_bytes()[place.offset : place.offset + place.length]
    assert bytes(reader.open(place, memoryview(whole), None)) == plain
    for bit in range(8 * len(whole)):
        changed = bytearray(whole)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises((Damaged, TooNew) if bit // 8 == 3 else Damaged):
            reader.open(place, memoryview(changed), None)
    for cut in (whole[:-1], whole[1:], whole + b"x", b"", whole[:30]):
        with pytest.raises(Damaged):
            reader.open(place, memoryview(cut), None)


def test_a_damaged_object_is_named_and_the_rest_goes_on(house: House) -> None:
    added = [house.tensor(noise(20_000, seed=seed)) for seed in range(3)]
    content, written = added[1][0].content, added[1][1]
    offset, _ = _entries(house, written.packs[0])[2]
    flip(house.file(written.packs[0]), offset + 500)
    (finding,) = _verify(house)
    assert finding.pack == written.packs[0]
    assert finding.objects == finding.lost == (block_ids(content)[2],)
    assert "not what was written" in finding.problem
    assert _verify(house, fast=True) == []
    with pytest.raises(Damaged, match=written.packs[0]):
        house.load(content)
    assert house.store.read(content, 0, 8000) == noise(20_000, seed=1)[:8000]
    for i in (0, 2):
        assert house.load(added[i][0].content) == noise(20_000, seed=i)


def test_two_damaged_packs_are_two_findings(house: House) -> None:
    packs = [house.tensor(noise(20_000, seed=seed))[1].packs[0] for seed in range(3)]
    flip(house.file(packs[0]), 1000)
    house.file(packs[2]).write_bytes(b"")
    assert {finding.pack for finding in _verify(house)} == {packs[0], packs[2]}


def test_edges_on_a_damaged_base_are_named_too(house: House) -> None:
    old = weights(3000)
    one, first = house.tensor(old.tobytes())
    two, second = house.tensor(tuned(old).tobytes(), one.content)
    flip(house.file(first.packs[0]), 1000)
    findings = {finding.pack: finding for finding in _verify(house)}
    assert set(findings) == {first.packs[0], second.packs[0]}
    assert findings[first.packs[0]].lost == (block_ids(one.content)[0],)
    assert findings[second.packs[0]].lost == (block_ids(two.content)[0],)
    assert "bases" in findings[second.packs[0]].problem


def test_what_can_be_read_elsewhere_is_not_lost(house: House) -> None:
    data = noise(3000)
    ids = house.plant([(data, None)])
    house.plant([(data, None), (noise(3000, seed=1), None)])
    flip(house.packs()[0], 1000)
    (finding,) = _verify(house)
    assert (finding.objects, finding.lost) == (tuple(ids), ())
    target = bytearray(3000)
    house.store._reader.fill({ids[0]: memoryview(target)})
    assert target == data


@pytest.mark.parametrize("fast", [True, False])
def test_a_pack_that_is_gone(house: House, fast: bool) -> None:
    old = weights(3000)
    one, first = house.tensor(old.tobytes())
    two, second = house.tensor(tuned(old).tobytes(), one.content)
    house.file(first.packs[0]).unlink()
    findings = {finding.pack: finding for finding in _verify(house, fast=fast)}
    assert set(findings) == {first.packs[0], second.packs[0]}
    assert set(findings[first.packs[0]].lost) == set(block_ids(one.content))
    assert set(findings[second.packs[0]].lost) == set(block_ids(two.content))
    assert house.store.missing([*block_ids(one.content), *block_ids(two.content)]) == {
        *block_ids(one.content),
        *block_ids(two.content),
    }


@pytest.mark.parametrize("cut", [1, 60, 5000, 12_000])
@pytest.mark.parametrize("fast", [True, False])
def test_a_cut_pack(house: House, cut: int, fast: bool) -> None:
    added, written = house.tensor(noise(20_000))
    path = house.file(written.packs[0])
    whole = path.stat().st_size
    ends = [offset + header.size for offset, header in _entries(house, written.packs[0])]  # type: ignore[attr-defined]
    path.write_bytes(path.read_bytes()[:-cut])
    findings = _verify(house, fast=fast)
    assert {finding.pack for finding in findings} == {written.packs[0]}
    lost = {id_ for finding in findings for id_ in finding.lost}
    ids = block_ids(added.content)
    assert lost == {id_ for id_, end in zip(ids, ends, strict=True) if end > whole - cut}
    readable = 4096 * sum(end <= whole - cut for end in ends)
    assert house.store.read(added.content, 0, min(readable, 20_000)) == noise(20_000)[:readable]


def test_an_index_that_is_wrong_is_said_and_corrected(house: House) -> None:
    added, written = house.tensor(noise(20_000))
    statements = [
        "DELETE FROM objects WHERE place < 100",
        "UPDATE objects SET length = 7",
        """INSERT INTO objects
            SELECT pack, place + 1, zeroblob(32), length, plain, base, 0, kind, codec, 0 FROM objects LIMIT 1""",
    ]
    for statement in statements:
        house.store.close()
        connection = sqlite3.connect(house.root / "index.db", isolation_level=None)
        connection.execute(statement)
        connection.close()
        (finding,) = _verify(house, fast=True)
        assert (finding.pack, finding.objects) == (written.packs[0], ())
        assert "index" in finding.problem
        assert _verify(house, fast=True) == []
    assert house.load(added.content) == noise(20_000)


def test_swapped_objects_are_damage(sealed: House) -> None:
    """Each is whole and well sealed, but not at its place."""
    added, written = sealed.tensor(noise(8192))
    path = sealed.file(written.packs[0])
    (a, first), (b, second) = _entries(sealed, written.packs[0])
    data = path.read_bytes()
    assert first.size == second.size  # type: ignore[attr-defined]
    path.write_bytes(data[:a] + data[b : b + b - a] + data[a:b] + data[b + b - a :])
    findings = _verify(sealed)
    assert {id_ for finding in findings for id_ in finding.lost} == set(block_ids(added.content))
    for read in (sealed.load, sealed.filled):
        with pytest.raises(Damaged):
            read(added.content)


def test_a_header_under_a_foreign_body_is_damage(sealed: House) -> None:
    """The seal binds the header: id, base, codec and length cannot be exchanged."""
    added, written = sealed.tensor(noise(4096))
    path = sealed.file(written.packs[0])
    data = bytearray(path.read_bytes())
    for place in (5, 7, 8, 9, 10, 11):
        changed = bytearray(data)
        changed[16 + place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(Damaged):
            sealed.load(added.content)


def test_a_stray_file_is_ignored(house: House) -> None:
    house.tensor(noise(5000))
    (house.root / "objects" / "packs" / "README").write_text("hello")
    assert _verify(house) == []


def test_verifying_without_the_sealing_key_names_every_pack(sealed: House, tmp_path: Path) -> None:
    from lepton_ai.store.seal.keyring import Keyring

    _, written = sealed.tensor(noise(5000))
    stranger = Keyring.create(tmp_path / "stranger", "house")
    with House.enter(sealed.root, stranger) as house:
        (finding,) = _verify(house)
        assert finding.pack == written.packs[0]
        assert "key" in finding.problem
