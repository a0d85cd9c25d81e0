"""Objects of a git repository, read by two long-lived ``git cat-file`` processes."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lepton_ai.errors import NotFound, StorageFailed, UsageError
from lepton_ai.store.durable import storage_errors

PART = 1 << 20
LINK, COMMIT_OF_ANOTHER = 0o120000, 0o160000
EXECUTABLE = 0o100
LARGEST = 64 << 20
"""Bytes that are read into memory at most: of trees, commits and small files."""


class Entry(msgspec.Struct, frozen=True):
    """A file in a tree: its mode and its object."""

    mode: int
    oid: str


class Objects:
    """The repository in or above ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._trees: dict[str, dict[str, Entry]] = {}

    def ask(self, *arguments: str) -> str:
        """What a git command prints.

        Raises:
            UsageError: it fails; says what git says. NotFound: there is no git.
        """
        try:
            done = subprocess.run(
                self._command(*arguments), capture_output=True, check=False, env=_environment()
            )
        except FileNotFoundError as problem:
            raise _no_git() from problem
        if done.returncode:
            said = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0].removeprefix("fatal: ")
            raise UsageError(f"git cannot read {self.folder}: {said}", hint="git -C there must work")
        return done.stdout.decode("utf-8", "replace")

    def size(self, oid: str) -> int | None:
        """Bytes of an object; None when it is not there (of a partial clone, or a submodule's)."""
        process = self._process("--batch-check")
        answer = self._asked(process, oid).split()
        return int(answer[2]) if len(answer) == 3 else None

    def read(self, oid: str) -> bytes | None:
        """A small object's bytes; None when it is not there, or is larger than a small object."""
        size = self.size(oid)
        return None if size is None or size > LARGEST else b"".join(self._parts(oid))

    def write(self, oid: str, target: Path) -> None:
        """Write an object's bytes to ``target``."""
        with storage_errors(target), target.open("wb") as file:
            for part in self._parts(oid):
                file.write(part)

    def files(self, tree: str) -> dict[str, Entry]:
        """Every file below a tree, by its path; paths that are no UTF-8 have ``?`` for what cannot be read."""
        known = self._trees.get(tree)
        if known is not None:
            return known
        found: dict[str, Entry] = {}
        data = self.read(tree) or b""
        at = 0
        while at < len(data):
            space, zero = data.index(b" ", at), data.index(b"\0", at)
            mode, name = int(data[at:space], 8), data[space + 1 : zero].decode("utf-8", "replace")
            width = len(tree) // 2
            oid = data[zero + 1 : zero + 1 + width].hex()
            at = zero + 1 + width
            if mode == 0o40000:
                found |= {f"{name}/{path}": entry for path, entry in self.files(oid).items()}
            elif mode != COMMIT_OF_ANOTHER:
                found[name] = Entry(mode, oid)
        self._trees[tree] = found
        return found

    def close(self) -> None:
        """End the processes."""
        for process in self._running.values():
            if process.stdin:
                process.stdin.close()
            if process.stdout:
                process.stdout.close()
            process.wait()
        self._running.clear()

    def _parts(self, oid: str) -> Iterator[bytes]:
        process = self._process("--batch")
        answer = self._asked(process, oid).split()
        if len(answer) != 3 or process.stdout is None:
            raise StorageFailed(f"git has no object {oid} in {self.folder}", hint="git fsck says more")
        left = int(answer[2])
        while left:
            part = process.stdout.read(min(left, PART))
            if not part:
                raise StorageFailed(f"git stopped reading {oid} in {self.folder}", hint="git fsck says more")
            left -= len(part)
            yield part
        process.stdout.read(1)  # the line end after every object

    def _asked(self, process: subprocess.Popen[bytes], oid: str) -> str:
        if process.stdin is None or process.stdout is None:
            raise AssertionError("unreachable: both are pipes")
        try:
            process.stdin.write(oid.encode() + b"\n")
            process.stdin.flush()
            answer = process.stdout.readline()
        except BrokenPipeError:
            answer = b""
        if not answer:
            raise StorageFailed(f"git stopped reading {self.folder}", hint="git fsck says more")
        return answer.decode().strip()

    def _process(self, how: str) -> subprocess.Popen[bytes]:
        if how not in self._running:
            try:
                self._running[how] = subprocess.Popen(
                    self._command("cat-file", how),
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    env=_environment(),
                )
            except FileNotFoundError as problem:
                raise _no_git() from problem
        return self._running[how]

    def _command(self, *arguments: str) -> list[str]:
        return ["git", "-c", "core.fsmonitor=false", "-C", str(self.folder), *arguments]


def _environment() -> dict[str, str]:
    """Nothing is asked of a person or fetched over the network, whatever the repository's settings say."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    config = {name: value for name, value in os.environ.items() if name.startswith("GIT_CONFIG")}
    return kept | config | {"GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "GIT_OPTIONAL_LOCKS": "0"}


def _no_git() -> NotFound:
    return NotFound("git is not installed", hint="install git: it reads the history")
