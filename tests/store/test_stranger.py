"""docs/format.md is enough: a reader that knows nothing else reads what we write."""

from __future__ import annotations

import ast
import io
from pathlib import Path

import msgspec
import numpy as np
import pytest

from lepton_ai.store.codecs import native, sparse
from lepton_ai.store.codecs.elements import ELEMENTS
from lepton_ai.store.contract import Content, Run
from lepton_ai.store.seal.keyring import default_key_file
from lepton_ai.testing.payloads import samples
from tests.store import stranger, stranger_tiles
from tests.store.house import House, noise, tuned, weights
from tests.store.stranger import Stranger


@pytest.fixture(autouse=True)
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))


def _files(house: House) -> tuple[list[tuple[Content, bytes]], bytes]:
    """Files that use every codec, and the id of a small object."""
    old = weights(3001)
    plan = [Run(100), Run(12_004, "w", "float32"), Run(7), Run(4000, "i", "int64"), Run(5, "odd", "float64")]
    ends = noise(7) + bytes(4000) + b"12345"
    first = b"text " * 20 + old.tobytes() + ends
    second = b"text " * 20 + tuned(old).tobytes() + ends
    one, _ = house.save(first, plan)
    if house.keyring.encrypted:
        house.keyring.rotate()
    two, _ = house.save(second, plan, one.content)
    large = noise(1_500_000)
    three, _ = house.save(large)
    few = tuned(old)
    few[::1000] *= -1
    third = b"text " * 20 + few.tobytes() + ends
    four, _ = house.save(third, plan, two.content)
    fourth = b"text " * 20 + tuned(few, 2).tobytes() + ends
    with house.store.writer(turn=True) as writer:  # the first one's blocks become differences to these
        five = writer.add(io.BytesIO(fourth), plan, one.content)
        assert writer.finish().superseded
    with house.store.writer() as writer:
        id_ = writer.put(b"manifest" * 100)
        writer.finish()
    return [
        (one.content, first),
        (two.content, second),
        (three.content, large),
        (four.content, third),
        (five.content, fourth),
    ], id_


def test_a_stranger_reads_everything(house: House, tmp_path: Path, how: str) -> None:
    files, id_ = _files(house)
    keys = house.root / "keys"
    masters: list[bytes | None] = [None]
    if house.keyring.encrypted:
        house.keyring.wrap_with_key_file()
        house.keyring.wrap_with_recovery_key(tmp_path / "recovery")
        house.keyring.wrap_with_passphrase("Größe")
        masters = [
            stranger.by_key_file(keys, default_key_file("house")),
            stranger.by_key_file(keys, tmp_path / "recovery"),
            stranger.by_passphrase(keys, "Größe"),
        ]
    assert len(set(masters)) == 1
    reader = Stranger(house.root / "objects", keys, masters[0])
    assert reader.read(id_) == b"manifest" * 100
    for content, data in files:
        assert reader.file((*msgspec.structs.astuple(content)[:3], _plain(content))) == data
    for id_, places in reader.places.items():
        assert len({reader.read_at(id_, place) for place in places}) == 1, "in whatever way"
    used = {path.read_bytes()[offset + 7] for places in reader.places.values() for path, offset in places}
    assert used == ({0, 1, 2, 4, 5} if how == "kernel" else {0, 1, 2, 3, 6}), "every codec was met"


def test_a_stranger_decodes_tiles_of_every_sort() -> None:
    """Every shape of numbers, all kinds of tiles, 4 and 32 states: what is too long for the files above."""
    kernel = native.kernel()
    assert kernel is not None
    for data, base, numbers, width in samples([kernel]):
        plain = bytearray(numbers * width)
        assert kernel.decode(data, base, numbers, width, plain)
        codec, rest = 4 if base is None else 5, b"the end"[: width - 1]
        assert stranger._decode(codec, data + rest, width, base or b"", len(plain + rest)) == plain + rest


@pytest.mark.parametrize("name", ["int8", "bfloat16", "float32", "float64"])
def test_a_stranger_decodes_sparse_differences(name: str) -> None:
    element = ELEMENTS[name]
    old = np.random.default_rng(0).bytes(20_000 * element.width + element.width - 1)
    new = bytearray(old)
    for place in (0, 254, 255, 256, 1024, 1026, 19_999):
        new[place * element.width] ^= 1
    new[-1:] = b"r"
    coded = sparse.CODEC.encode(bytes(new), element, old)
    assert coded is not None
    assert stranger._decode(6, coded, element.width, old, len(new)) == new


def _plain(content: Content) -> list[tuple[object, ...]]:
    return [msgspec.structs.astuple(stream) for stream in content.streams]


def test_the_stranger_is_one() -> None:
    names: list[str] = []
    for module in (stranger, stranger_tiles):
        for node in ast.walk(ast.parse(Path(module.__file__).read_text(encoding="utf-8"))):
            names += [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += (
                [f"{node.module}.{a.name}" for a in node.names] if isinstance(node, ast.ImportFrom) else []
            )
    ours = {name for name in names if name.startswith(("lepton_ai", "tests"))}
    assert ours == {"tests.store.stranger_tiles"}
