"""Compiles the codec's kernel when the package is built or installed; without a C compiler it goes on without.

What comes out is a shared library for ctypes, so that it needs no Python headers and serves every Python version.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = Path("src/lepton_ai/store/codecs/native")
FLAGS = ("-O3", "-fwrapv", "-fPIC", "-shared", "-fvisibility=default")


class KernelHook(BuildHookInterface[Any]):
    """Puts tiles.so beside tiles.c, and says in the wheel's name for which machines it is."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected; a source distribution carries the source only."""
        if self.target_name != "wheel":
            return
        folder = Path(self.root) / NATIVE
        if not compiled(folder / "tiles.c", folder / "tiles.so"):
            return
        if version != "editable":
            build_data["artifacts"].append(f"{NATIVE.as_posix()}/tiles.so")
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"


def compiled(source: Path, target: Path) -> bool:
    """Whether there is a library now that belongs to the source."""
    compiler = (
        shlex.split(os.environ.get("CC", "")) or [c for c in ("cc", "gcc", "clang") if shutil.which(c)][:1]
    )
    target.unlink(missing_ok=True)
    if not compiler:
        print("No C compiler: Lepton AI goes on without its compiled codec.", file=sys.stderr)
        return False
    command = [*compiler, *FLAGS, str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"{shlex.join(command)} failed; going on without.\n{done.stderr}", file=sys.stderr)
    return done.returncode == 0
