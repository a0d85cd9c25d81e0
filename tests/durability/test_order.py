"""The system calls of a save in order: blocks, pack, folder, and only then the ref."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from lepton_ai.repository import ModelRepository

CALLS = "openat,write,pwrite64,writev,fsync,fdatasync,rename,renameat,renameat2,unlink"
SAVE = """
from lepton_ai.repository import ModelRepository
ModelRepository({place!r}, create=False, author="anna").save_files({file!r})
"""


def _trace(tmp_path: Path) -> list[str]:
    place, file, log = tmp_path / "repo", tmp_path / "model.bin", tmp_path / "trace"
    ModelRepository(place).close()
    file.write_bytes(bytes(range(256)) * 20000)
    code = SAVE.format(place=str(place), file=str(file))
    command = ["strace", "-f", "-y", "-e", f"trace={CALLS}", "-o", str(log), sys.executable, "-c", code]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return log.read_text(errors="replace").splitlines()


def _last(lines: list[str], pattern: str) -> int:
    found = [number for number, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"the trace has no {pattern}"
    return found[-1]


def _first(lines: list[str], pattern: str, after: int = 0) -> int:
    found = [number for number, line in enumerate(lines) if number >= after and re.search(pattern, line)]
    assert found, f"the trace has no {pattern} after line {after}"
    return found[0]


def test_a_pack_is_durable_before_the_ref_moves(tmp_path: Path) -> None:
    lines = _trace(tmp_path)
    rename = _last(lines, r"rename\w*\(.*\.pack\"")
    source = re.search(r'rename\w*\((?:AT_FDCWD[^,]*, )?"([^"]+)"', lines[rename])
    assert source is not None
    temporary = re.escape(source.group(1))
    last_write = _last(lines, rf"p?write\w*\(\d+<{temporary}>")
    synced = _first(lines, rf"f(data)?sync\(\d+<{temporary}>", last_write)
    folder_synced = _first(lines, r"fsync\(\d+<[^>]*/packs/[^>]*>", rename)
    moved = _last(lines, r"pwrite64\(\d+<[^>]*/history\.db>")
    moved_durably = _first(lines, r"f(data)?sync\(\d+<[^>]*/history\.db>", moved)
    assert last_write < synced < rename < folder_synced < moved < moved_durably
    lease_writes = [n for n, line in enumerate(lines) if re.search(r"pwrite64\(\d+<[^>]*/history\.db>", line)]
    pack_opened = _first(lines, rf'openat\([^"]*"{temporary}"')
    assert not [n for n in lease_writes if pack_opened < n < folder_synced], (
        "the ref moved before its pack was durable"
    )
