"""What a source of versions promises: it tells them in order, parents first, and hands over their bytes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import msgspec

from lepton_ai.types import Code, Dataset

Kind = Literal["dvc", "git-lfs", "mlflow", "huggingface"]
KINDS: tuple[Kind, ...] = ("dvc", "git-lfs", "mlflow", "huggingface")


class Left(msgspec.Struct, frozen=True):
    """Something that could not be taken over, and why; ``reference`` says of which version."""

    what: str
    why: str
    reference: str = ""


class File(msgspec.Struct, frozen=True):
    """One file of a version: at ``place``, or (``blob``) to be had from the source alone, or not at all (``lacking``).

    ``check`` is an algorithm (sha256, md5, git) and what it must give, in hexadecimal. ``target`` makes it a link.
    """

    path: str
    place: Path | None = None
    size: int = 0
    executable: bool = False
    target: str | None = None
    blob: str = ""
    check: tuple[str, str] | None = None
    lacking: str = ""


class Arrival(msgspec.Struct, frozen=True):
    """One version as its source has it. ``reference`` is what the source calls it and never calls another.

    ``parents`` are references, the first parent first. ``created_at`` in microseconds since 1970. ``name`` is what it
    should be called where that is possible. ``told`` names it for people: "git commit 1a2b3c4". ``follows``: it goes
    upon whatever its branch has.
    """

    reference: str
    branch: str
    files: tuple[File, ...]
    author: str
    created_at: int
    told: str
    parents: tuple[str, ...] = ()
    message: str = ""
    name: str | None = None
    params: Mapping[str, Any] = {}
    metrics: Mapping[str, Any] = {}
    curves: Mapping[str, Sequence[float]] = {}
    dataset: Dataset | None = None
    code: Code | None = None
    left: tuple[Left, ...] = ()
    follows: bool = False


class Label(msgspec.Struct, frozen=True):
    """A tag or an alias of the source, and the reference of the version that it names."""

    kind: Literal["tag", "alias"]
    name: str
    reference: str
    message: str = ""


class Source(Protocol):
    """A place where another tool keeps versions of a model; nothing is ever written there."""

    @property
    def kind(self) -> Kind:
        """Which tool's."""

    @property
    def place(self) -> str:
        """Where it is, for people; without secrets."""

    @property
    def scope(self) -> str:
        """Which part of the place is meant: a model's name, or paths; "" all of it. References are unique within."""

    @property
    def main(self) -> str:
        """The name of its main branch."""

    def arrivals(self) -> Iterator[Arrival]:
        """Every version, parents before what was built upon them."""

    def branches(self) -> Mapping[str, str]:
        """Branch → the reference of its newest version. Known when the arrivals have been told."""

    def labels(self) -> Sequence[Label]:
        """Tags and aliases. Known when the arrivals have been told."""

    def left(self) -> Sequence[Left]:
        """What of the source as a whole cannot be taken over. Known when the arrivals have been told."""

    def write(self, file: File, target: Path) -> None:
        """Write the bytes of a file that has a ``blob`` to ``target``."""

    def close(self) -> None:
        """Let go of processes and files."""
