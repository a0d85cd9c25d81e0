"""docs/format.md is enough: a reader that knows nothing else reads what we write."""

from __future__ import annotations

import ast
from pathlib import Path

import msgspec
import pytest

from lepton_ai.store.contract import Content, Run
from lepton_ai.store.seal.keyring import default_key_file
from tests.store import stranger
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
    with house.store.writer() as writer:
        id_ = writer.put(b"manifest" * 100)
        writer.finish()
    return [(one.content, first), (two.content, second), (three.content, large)], id_


def test_a_stranger_reads_everything(house: House, tmp_path: Path) -> None:
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
    used = {path.read_bytes()[offset + 7] for places in reader.places.values() for path, offset in places}
    assert used == {0, 1, 2, 3}, "every codec was met"


def _plain(content: Content) -> list[tuple[object, ...]]:
    return [msgspec.structs.astuple(stream) for stream in content.streams]


def test_the_stranger_is_one() -> None:
    tree = ast.parse(Path(stranger.__file__).read_text(encoding="utf-8"))
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith(("lepton_ai", "tests"))]
