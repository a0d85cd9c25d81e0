"""ZipNN: a compressor for weights. It knows no versions, so each is one compressed file."""

from __future__ import annotations

from pathlib import Path

from peers.peer import Step, program, size

SAVE = """
import sys
from zipnn import ZipNN
file, dtype, out = sys.argv[1:]
open(out, "wb").write(ZipNN(bytearray_dtype=dtype).compress(open(file, "rb").read()))
"""
RESTORE = """
import sys
from zipnn import ZipNN
file, dtype, out = sys.argv[1:]
open(out, "wb").write(ZipNN(bytearray_dtype=dtype).decompress(open(file, "rb").read()))
"""


class ZipNN:
    """The whole file as bytes, the type of its weights told (float32 or bfloat16)."""

    name = "ZipNN"
    note = "no versions: each file compressed alone, its type told"

    def __init__(self, tools: Path) -> None:
        self.python = program(tools / "zipnn/bin/python")

    def missing(self) -> str | None:
        return None if self.python else "not installed (PyPI: zipnn; install-peers.sh failed?)"

    def version(self) -> Step:
        code = "import importlib.metadata as m; print('zipnn', m.version('zipnn'))"
        return Step(((self.python or "python3", "-c", code),), Path())

    def setup(self, folder: Path) -> Step:
        self.folder = folder
        return Step((("mkdir", "store"),), folder)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        self.file = file.name
        # Only a safetensors header says it in its first bytes; the other formats of the series are float32.
        with file.open("rb") as opened:
            self.dtype = "bfloat16" if b'"BF16"' in opened.read(1 << 16) else "float32"
        return self._step(SAVE, str(file), self.dtype, str(self.folder / f"store/{number}.znn"))

    def restore(self, number: int, target: Path) -> Step:
        return self._step(
            RESTORE, str(self.folder / f"store/{number}.znn"), self.dtype, str(target / self.file)
        )

    def stored(self) -> int:
        return size([self.folder / "store"])

    def _step(self, code: str, *arguments: str) -> Step:
        # It scripts torch functions when imported, which torch calls old.
        return Step(((self.python or "python3", "-W", "ignore", "-c", code, *arguments),), self.folder)
