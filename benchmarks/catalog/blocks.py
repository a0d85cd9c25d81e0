"""Where blocks are: the index that a server makes for itself of the packs of one repository, here the largest."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.catalog.asking import Asker, Question
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.contract import PackInfo
from lepton_ai.store.index import Index
from lepton_ai.store.packs.format import TABLE, Header

EACH = 10
"""Blocks that a version adds: of 1,000,000 versions there are ten million."""
ASKED = 500


@contextmanager
def questions(asker: Asker) -> Iterator[dict[str, Question]]:
    """Name → a question to the index of the largest repository's blocks, which is made for it."""
    count = asker.sizes[0]
    with tempfile.TemporaryDirectory(prefix="lepton-blocks-") as folder:
        index = Index(Path(folder) / "index.db", LocalBlobs(Path(folder)), "benchmark")
        for start in range(0, count, 1000):
            index.add((_pack(number), _footer(number)) for number in range(start, min(count, start + 1000)))

        def find() -> object:
            known = [_id(asker.rng.randrange(count), asker.rng.randrange(EACH)) for _ in range(ASKED // 2)]
            unknown = [asker.rng.randbytes(32) for _ in range(ASKED // 2)]
            found = index.find(known + unknown)
            assert set(found) == set(known)
            return found

        yield {f"blocks: which of {ASKED} are there, largest": find}
        index.close()


def _id(number: int, block: int) -> bytes:
    return hashlib.sha256(f"block {number} {block}".encode()).digest()


def _pack(number: int) -> PackInfo:
    return PackInfo(hashlib.sha256(f"pack {number}".encode()).hexdigest(), 9_000_000, EACH, float(number))


def _footer(number: int) -> bytes:
    return TABLE + b"".join(
        Header(1, 1, 1, 1, 4, 1, 0, bytes(8), 1 << 20, 900_000, _id(number, block), None).pack()
        for block in range(EACH)
    )
