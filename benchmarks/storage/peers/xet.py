"""hf-xet: the chunking client of the Hugging Face Hub, against a folder in place of the Hub (its ``local://``)."""

from __future__ import annotations

from pathlib import Path

from peers.peer import Step, program, size

SAVE = """
import sys, hf_xet
endpoint, file, note = sys.argv[1:]
with hf_xet.XetSession().new_upload_commit(endpoint=endpoint) as commit:
    upload = commit.start_upload_file(file, sha256=hf_xet.SKIP_SHA256)
info = upload.result().xet_info
open(note, "w").write(f"{info.hash} {info.file_size}")
"""
RESTORE = """
import sys, hf_xet
endpoint, note, file = sys.argv[1:]
hash, size = open(note).read().split()
with hf_xet.XetSession().new_file_download_group(endpoint=endpoint) as group:
    group.start_download_file(hf_xet.XetFileInfo(hash, int(size)), file)
"""


class Xet:
    """A short Python process, because it has no command line of its own; a text file keeps each version's hash."""

    name = "HF Xet"
    note = "hf_xet with a local:// endpoint, without the SHA-256 that the Hub wants"

    def __init__(self, tools: Path) -> None:
        self.python = program(tools / "xet/bin/python")

    def missing(self) -> str | None:
        return None if self.python else "not installed (PyPI: hf-xet; install-peers.sh failed?)"

    def version(self) -> Step:
        return self._step(
            "import importlib.metadata as m; print('hf-xet', m.version('hf-xet'))", folder=Path()
        )

    def setup(self, folder: Path) -> Step:
        self.folder = folder
        self.endpoint = f"local://{folder / 'store'}"
        return Step((("mkdir", "notes"),), folder)

    def save(self, file: Path, number: int, parent: int) -> Step:  # noqa: ARG002 (it knows no lineage)
        self.file = file.name
        return self._step(SAVE, self.endpoint, str(file), str(self.folder / f"notes/{number}"))

    def restore(self, number: int, target: Path) -> Step:
        return self._step(
            RESTORE, self.endpoint, str(self.folder / f"notes/{number}"), str(target / self.file)
        )

    def stored(self) -> int:
        return size(self.folder / part for part in ("store", "notes", "home"))

    def _step(self, code: str, *arguments: str, folder: Path | None = None) -> Step:
        return Step(((self.python or "python3", "-c", code, *arguments),), folder or self.folder)
