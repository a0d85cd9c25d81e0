"""Compiles the codec's kernel when the package is built or installed; without a C compiler it goes on without.

What comes out is a shared library for ctypes, so that it needs no Python headers and serves every Python version.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NATIVE = "lepton_ai/store/codecs/native"
LIBRARY = "tiles.so"  # on macOS too: ctypes does not mind
FLAGS = ("-O3", "-fwrapv", "-ffp-contract=off", "-fPIC", "-shared", "-fvisibility=default")


class KernelHook(BuildHookInterface[Any]):
    """Puts tiles.so beside tiles.c, and says in the wheel's name for which machines it is."""

    _folder: tempfile.TemporaryDirectory[str] | None = None

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile before the files are collected; a source distribution carries the source only."""
        if self.target_name != "wheel":
            return
        native = Path(self.root) / "src" / NATIVE
        self._folder = tempfile.TemporaryDirectory(prefix="lepton-ai-")
        made = Path(self._folder.name) / LIBRARY
        problem = compile_kernel(native / "tiles.c", made)
        if version == "editable":
            (native / LIBRARY).unlink(missing_ok=True)  # an older one would not belong to the source
            if not problem:
                shutil.copy(made, native / f"{LIBRARY}.part")
                (native / f"{LIBRARY}.part").replace(native / LIBRARY)
        elif not problem:
            build_data["force_include"][str(made)] = f"{NATIVE}/{LIBRARY}"
            build_data["pure_python"] = False
            build_data["tag"] = f"py3-none-{machine()}"
        if problem:
            print(f"Lepton AI is built without its compiled codec: {problem}", file=sys.stderr)

    def finalize(self, _version: str, _build_data: dict[str, Any], _artifact_path: str) -> None:
        """Remove what was compiled; it is in the wheel now."""
        if self._folder is not None:
            self._folder.cleanup()


def compile_kernel(source: Path, target: Path) -> str:
    """Compile ``source``; what was in the way, in one line, or "" when it is done."""
    found = [name for name in ("cc", "gcc", "clang") if shutil.which(name)][:1]
    compiler = shlex.split(os.environ.get("CC", "")) or found
    if not compiler:
        return "there is no C compiler"
    command = [*compiler, *FLAGS, *both_macs(), str(source), "-o", str(target)]
    try:
        done = subprocess.run(
            command, env=environment(), capture_output=True, text=True, errors="replace", check=False
        )
    except OSError as error:
        return f"{compiler[0]}: {error.strerror}"
    if done.returncode or not target.is_file():
        said = next((line for line in done.stderr.splitlines() if "error" in line), "")
        return f"{shlex.join(compiler)} ended with {done.returncode} {said}".rstrip()
    return ""


def machine() -> str:
    """The platform that the wheel is for, as its tag has it."""
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def both_macs() -> tuple[str, ...]:
    """A Python for both sorts of Mac tags its wheels so; then the library must be for both."""
    return ("-arch", "arm64", "-arch", "x86_64") if machine().endswith("universal2") else ()


def environment() -> dict[str, str]:
    """On a Mac the tag names the oldest system that Python itself runs on, not the one that we compile on."""
    oldest = sysconfig.get_config_var("MACOSX_DEPLOYMENT_TARGET")
    if platform.system() != "Darwin" or not oldest:
        return dict(os.environ)
    return {"MACOSX_DEPLOYMENT_TARGET": str(oldest), **os.environ}
