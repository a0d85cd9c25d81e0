"""A store in a folder with everything around it at hand, and ways to plant and to damage objects."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from lepton_ai.store.blobs.counting import CountingBlobs
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.codecs import CODECS
from lepton_ai.store.codecs.elements import element_of
from lepton_ai.store.contract import Added, Content, Run, Written
from lepton_ai.store.packs.format import BLOCK, Header, blob_name
from lepton_ai.store.packs.writer import PackWriter
from lepton_ai.store.seal.keyring import Keyring
from lepton_ai.store.store import Store

BLOCK_SIZE = 4096


@dataclass
class House:
    """A store in ``root``; ``blobs`` counts."""

    root: Path
    keyring: Keyring
    blobs: CountingBlobs
    store: Store

    @classmethod
    def build(cls, root: Path, *, encrypt: bool = True, block_size: int = BLOCK_SIZE) -> House:
        return cls.enter(root, Keyring.create(root / "keys", "house", encrypt=encrypt), block_size)

    @classmethod
    def enter(cls, root: Path, keyring: Keyring, block_size: int = BLOCK_SIZE) -> House:
        blobs = CountingBlobs(LocalBlobs(root / "objects"))
        store = Store(blobs, root / "index.db", keyring, root / "tmp", block_size=block_size)
        return cls(root, keyring, blobs, store)

    def again(self) -> House:
        """Another process's view of the same folder."""
        return House.enter(self.root, self.keyring)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def save(
        self,
        data: bytes,
        plan: Sequence[Run] | None = None,
        base: Content | None = None,
        *,
        turn: bool = False,
    ) -> tuple[Added, Written]:
        """Save one file; ``turn``: upon a base that may become the difference."""
        with self.store.writer(turn=turn) as writer:
            added = writer.add(io.BytesIO(data), plan or [Run(len(data))], base)
            return added, writer.finish()

    def tensor(
        self, data: bytes, base: Content | None = None, dtype: str = "float32", *, turn: bool = False
    ) -> tuple[Added, Written]:
        """Save one file that is one tensor."""
        return self.save(data, [Run(len(data), "w", dtype)], base, turn=turn)

    def load(self, content: Content) -> bytes:
        """The whole file."""
        out = io.BytesIO()
        self.store.copy(content, out.write)
        return out.getvalue()

    def filled(self, content: Content) -> bytearray:
        """The same, decoded where it belongs."""
        room = bytearray(b"\xa5" * content.size)
        self.store.fill(content, memoryview(room))
        return room

    def packs(self) -> list[Path]:
        """The packs' files, oldest first."""
        return sorted((self.root / "objects").rglob("*.pack"), key=lambda path: path.stat().st_mtime_ns)

    def file(self, pack: str) -> Path:
        """One pack's file."""
        return self.root / "objects" / blob_name(pack)

    def leftovers(self) -> list[Path]:
        """What lies in the temporary folder."""
        return sorted((self.root / "tmp").glob("*"))

    def lose_index(self) -> None:
        """Delete the index."""
        self.store.close()
        (self.root / "index.db").unlink()

    def plant(self, objects: Iterable[tuple[bytes, bytes | None]], codec: str | None = None) -> list[bytes]:
        """A pack with objects (plain, base plain or None) of float32, whatever a writer would think; their ids."""
        pack = PackWriter(self.root / "tmp")
        seal, element, ids = self.keyring.current, element_of("float32"), []
        for plain, base in objects:
            chosen = next(
                c for c in CODECS.values() if c.name == (codec or ("difference" if base else "planes"))
            )
            data = chosen.encode(plain, element, base)
            assert data is not None
            base_id = self.store._reader.object_id(base) if base is not None else None
            ids.append(self.store._reader.object_id(plain))
            header = Header(
                BLOCK, seal.number, chosen.number, chosen.version, element.width, element.number,
                int(base is not None), seal.key_id, len(plain), len(data) + seal.overhead, ids[-1], base_id,
            ).pack()  # fmt: skip
            pack.append(header, *seal.seal(data, header))
        pack.close()
        (self.root / "tmp").mkdir(exist_ok=True)
        pack.publish(self.blobs)
        self.store.packs()
        return ids

    def copy(self, place: Path) -> House:
        """The same folder once more, elsewhere."""
        shutil.copytree(self.root, place)
        return House.enter(place, self.keyring)


def block_ids(content: Content) -> list[bytes]:
    """Every block of a content."""
    return [id_ for stream in content.streams for id_ in stream.ids]


def weights(count: int, seed: int = 0) -> np.ndarray:
    """Something like a tensor."""
    return np.random.default_rng(seed).normal(0, 0.02, count).astype(np.float32)


def tuned(values: np.ndarray, seed: int = 1, scale: float = 1e-5) -> np.ndarray:
    """The same after a little training."""
    return values + np.random.default_rng(seed).normal(0, scale, len(values)).astype(np.float32)


def noise(length: int, seed: int = 0) -> bytes:
    """Bytes that nothing makes fewer."""
    return np.random.default_rng(seed).bytes(length)


def flip(path: Path, place: int) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)
