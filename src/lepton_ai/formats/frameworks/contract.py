"""What an adapter of a framework takes and gives.

An adapter turns a live object of its framework into files and back. It is asked about every object and every
version, so ``owns`` and ``finds`` import no framework: the first looks at the names of the object's classes,
the second at file names and a few bytes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from lepton_ai.errors import MissingExtra, Unsupported, Untrusted

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

WHOLE = 50
"""Richness of a file that gives back the framework's own model: architecture and weights."""

PROGRAM = 40
"""Richness of a program in an exchange format, which another framework wrote."""

TENSORS = 20
"""Richness of tensors without the model around them."""

PICKLE = 10
"""Richness of a pickle: taken when there is nothing else, because it always needs trust."""


class Saved(msgspec.Struct, frozen=True):
    """What saving wrote.

    ``paths`` are files or folders inside of the given folder; ``note`` is for people, "" when there is none.
    """

    paths: tuple[Path, ...]
    format: str
    note: str = ""


class Found(msgspec.Struct, frozen=True):
    """A model among the files of a version: its main file, and how much of the live object it gives back."""

    path: str
    richness: int


class Framework(Protocol):
    """Live objects of one framework ⇄ files."""

    @property
    def name(self) -> str:
        """The framework's name: "keras", "torch" …"""

    def owns(self, model: object) -> bool:
        """Whether ``model`` is an object that ``save`` takes. Imports nothing."""

    def formats(self) -> tuple[str, ...]:
        """The values that ``format=`` takes, the default first."""

    def save(
        self,
        model: object,
        folder: Path,
        stem: str,
        format: str | None = None,  # noqa: A002  (the public keyword)
        *,
        example_inputs: object = None,
    ) -> Saved:
        """Write ``model`` into ``folder``, as files (or one folder) named by ``stem``.

        ``example_inputs`` is what one call of the model takes: one array, a tuple of positional or a dict of
        named ones. Formats that trace the model need it; it is never stored.

        Raises:
            Unsupported: the format is unknown, or this model cannot be written in it.
            MissingExtra: a package that it takes is not installed.
        """

    def finds(self, folder: Path, files: Sequence[str]) -> list[Found]:
        """The models among ``files`` that ``load`` can open. Imports nothing.

        ``files`` are POSIX paths relative to ``folder``; a model in several files is named by its main one.
        """

    def load(self, folder: Path, path: str, *, trust: bool) -> object:
        """The live object from the files; ``path`` is one that ``finds`` named.

        Nothing of the object depends on the files afterwards: they may be changed or deleted.

        Raises:
            Untrusted: opening it can run code and ``trust`` is False. Then none has run.
            Unsupported: the framework cannot open it.
            MissingExtra: a package that it takes is not installed.
        """


def is_a(model: object, module: str, name: str) -> bool:
    """Whether a class called ``name``, of ``module`` or below it, is among the object's. Imports nothing."""
    return any(
        kind.__name__ == name and (kind.__module__ == module or kind.__module__.startswith(module + "."))
        for kind in type(model).__mro__
    )


def chosen(framework: Framework, format: str | None, allowed: Sequence[str] | None = None) -> str:  # noqa: A002  (the public keyword)
    """The format to write: ``format`` in its own spelling, the first allowed one for None.

    ``allowed`` narrows the framework's formats to what fits this object.

    Raises:
        Unsupported: it is not one of them.
    """
    allowed = framework.formats() if allowed is None else allowed
    if format is None:
        return allowed[0]
    wanted = {"hdf5": "h5", "saved_model": "savedmodel"}.get(
        format.lower().lstrip("."), format.lower().lstrip(".")
    )
    if wanted not in allowed:
        raise Unsupported(
            f"{framework.name} cannot save this as {format!r}", hint=f"format= takes {', '.join(allowed)}"
        )
    return wanted


def need(module: str, install: str) -> Any:
    """Import a package that only some people have; ``install`` is what pip is to be given.

    Raises:
        MissingExtra: it is not there, or cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as missing:
        what = f"{module} cannot be imported: {missing}"
        if isinstance(missing, ModuleNotFoundError):
            what = f"{missing.name or module} is not installed"
        raise MissingExtra(what, hint=f"pip install '{install}'") from missing


def check_safe(module: Any, since: tuple[int, ...], hole: str, install: str) -> None:
    """Refuse a release of a package that runs code from files which it claims to read safely.

    ``since`` is the first release without the ``hole``.

    Raises:
        Unsupported: it is older.
    """
    release = tuple(int(part) for part in module.__version__.split("+")[0].split(".")[:3] if part.isdigit())
    if release < since:
        raise Unsupported(
            f"{module.__name__} {module.__version__} can run code from such a file ({hole})",
            hint=f"pip install -U '{install}', or trust=True",
        )


def untrusted(path: str, why: str) -> Untrusted:
    """The refusal to open a file that could run code."""
    return Untrusted(
        f"{path!r} was not opened: {why}", hint="load_model(..., trust=True) if you trust who made it"
    )


def first_line(error: BaseException) -> str:
    """What a framework's error says in one line, for a plain message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__
