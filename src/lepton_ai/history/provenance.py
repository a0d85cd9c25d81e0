"""Where a version comes from, found without being asked: the git checkout and the Python environment."""

from __future__ import annotations

import platform
import re
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import msgspec

GIT_TIMEOUT = 20.0
MAX_PATCH = 64 << 20
"""Bytes; a larger difference is told (dirty) but not kept."""


class Checkout(msgspec.Struct, frozen=True):
    """The state of a git checkout; ``patch`` holds uncommitted changes of tracked files, as ``git apply`` takes it."""

    commit: str
    remote: str
    branch: str
    dirty: bool
    patch: bytes


def checkout(folder: Path) -> Checkout | None:
    """The git checkout around ``folder``; None when there is none, no commit in it, or no git."""
    status = _git(folder, "status", "--porcelain=v2", "--branch")
    if status is None:
        return None
    lines = status.splitlines()
    head = {
        key: value for key, _, value in (line[2:].partition(" ") for line in lines if line.startswith("# "))
    }
    commit = head.get("branch.oid", "(initial)")
    if commit == "(initial)":
        return None
    branch = head.get("branch.head", "")
    dirty = any(not line.startswith("# ") for line in lines)
    patch = b""
    if dirty:
        patch = _git_bytes(folder, "diff", "--no-ext-diff", "--no-textconv", "--binary", "HEAD") or b""
    return Checkout(
        commit=commit,
        remote=without_secrets(_git(folder, "config", "--get", "remote.origin.url") or ""),
        branch="" if branch == "(detached)" else branch,
        dirty=dirty,
        patch=patch if len(patch) <= MAX_PATCH else b"",
    )


def looking(folder: Path) -> Future[Checkout | None]:
    """:func:`checkout` in a thread of its own: while git looks, files can be read."""
    thread = ThreadPoolExecutor(1, "lepton-ai-git")
    try:
        return thread.submit(checkout, folder)
    finally:
        thread.shutdown(wait=False)


def packages() -> bytes:
    """Installed distributions as JSON, name → version, sorted; told by the names of their folders, which is quick."""
    found: dict[str, str] = {}
    for folder in sys.path:
        entries: list[str] = []
        with suppress(OSError, ValueError):  # not there, a zip, closed to us: Python passes over it, too
            entries = [entry.name for entry in Path(folder or ".").iterdir()]
        for entry in entries:
            name, dash, version = entry.removesuffix(".dist-info").partition("-")
            if entry.endswith(".dist-info") and dash:
                found.setdefault(name, version)
    return msgspec.json.encode(found, order="sorted")


def python_version() -> str:
    """For example "CPython 3.11.7"."""
    return f"{platform.python_implementation()} {platform.python_version()}"


def platform_name() -> str:
    """For example "linux-x86_64"."""
    return f"{sys.platform}-{platform.machine()}"


def _git(folder: Path, *arguments: str) -> str | None:
    output = _git_bytes(folder, *arguments)
    return output.decode("utf-8", "replace").strip() if output is not None else None


def _git_bytes(folder: Path, *arguments: str) -> bytes | None:
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=GIT_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None  # no git, or a checkout too slow to ask: a version is saved all the same
    return done.stdout if done.returncode == 0 else None


def without_secrets(remote: str) -> str:
    """The address without a user name and password or token."""
    return re.sub(r"^(\w+://)[^/@]*@", r"\1", remote)


def git_user() -> str:
    """The name that git signs commits with; "" when there is none."""
    command = ["git", "config", "--get", "user.name"]
    try:
        done = subprocess.run(command, capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else ""
