"""The door: which framework a live object or a version's files belong to."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, cast

from lepton_ai.errors import Ambiguous, InvalidName, LeptonError, NotFound, Unsupported
from lepton_ai.formats.frameworks.contract import Found, Framework, Saved, first_line
from lepton_ai.formats.plugins import Plugin, plugins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

GROUP = "lepton_ai.frameworks"
MAX_STEM = 200
"""Bytes: a file's name ends at 255, and endings are put behind the stem."""


@cache
def frameworks() -> tuple[Framework, ...]:
    """Every adapter that is installed; strangers' come first, since theirs know their objects better."""
    found = sorted(plugins(GROUP), key=_strangers_first)
    return tuple(cast("Framework", plugin.load()) for plugin in found)


def _strangers_first(plugin: Plugin) -> tuple[bool, str]:
    return plugin.value.startswith("lepton_ai."), plugin.name


def framework_of(model: object) -> Framework:
    """The framework of a live object.

    Raises:
        Unsupported: it is no object of a framework that is known.
    """
    for framework in frameworks():
        if framework.owns(model):
            return framework
    kind = f"{type(model).__module__}.{type(model).__qualname__}".removeprefix("builtins.")
    raise Unsupported(
        f"a {kind} is no model of {', '.join(framework.name for framework in frameworks())}",
        hint="save the model to a file yourself and use create_version(version, model_path)",
    )


def save(
    model: object,
    folder: Path,
    stem: str,
    format: str | None = None,  # noqa: A002  (the public keyword)
    *,
    example_inputs: object = None,
) -> Saved:
    """Write a live object into ``folder`` as files named by ``stem``; see :meth:`Framework.save`.

    Raises:
        InvalidName: ``stem`` is not one plain name.
        Unsupported: no framework knows the object, or it cannot be written in this format.
        MissingExtra: a package that it takes is not installed.
    """
    check_stem(stem)
    framework = framework_of(model)
    with _plainly(
        f"{framework.name} could not save this {type(model).__name__}", passing=(OSError, MemoryError)
    ):
        return framework.save(model, folder, stem, format, example_inputs=example_inputs)


def check_stem(stem: object) -> None:
    """Refuse a stem that is not one plain name of a file.

    Raises:
        InvalidName: it is empty, leads to another folder, is too long or cannot be printed.
    """
    plain = isinstance(stem, str) and stem.isprintable() and len(stem.encode()) <= MAX_STEM
    if not plain or stem in ("", ".", "..") or "/" in str(stem) or "\\" in str(stem):
        raise InvalidName(
            f"{stem!r} cannot name the files of a model", hint='give one plain name, such as "model"'
        )


def loader_for(folder: Path, files: Sequence[str], path: str | None = None) -> tuple[Framework, Found]:
    """The richest model among a version's ``files`` and the framework that opens it.

    A model as its framework keeps it goes before a program in an exchange format (ONNX), that before bare
    tensors, those before a pickle; among equals the one nearest to the top folder. ``path`` asks for a
    certain one.

    Raises:
        Unsupported: none of the files is a model that a framework opens.
        NotFound: none of them is at ``path``.
        Ambiguous: several are equally good.
    """
    candidates = [(each, found) for each in frameworks() for found in each.finds(folder, files)]
    if not candidates:
        some = ", ".join(sorted(files)[:5]) or "nothing"
        raise Unsupported(f"no framework opens what is in this version: {some}", hint="check it out instead")
    if path is not None:
        candidates = [(each, found) for each, found in candidates if found.path == path]
        if not candidates:
            raise NotFound(f"{path!r} is not a model of this version")
    best = min(_order(found) for _, found in candidates)
    equals = [(each, found) for each, found in candidates if _order(found) == best]
    if len({found.path for _, found in equals}) > 1:
        names = ", ".join(sorted(found.path for _, found in equals))
        raise Ambiguous(f"this version holds several models: {names}", hint="say which one by its path")
    return equals[0]


def _order(found: Found) -> tuple[int, int]:
    return -found.richness, found.path.count("/")


def load(folder: Path, files: Sequence[str], *, trust: bool = False, path: str | None = None) -> object:
    """The framework's own object from a version's ``files``; ``path`` as for :func:`loader_for`.

    Raises:
        Untrusted: opening it can run code and ``trust`` is False. Then none has run.
        Unsupported: nothing in the version is a model, or its framework cannot open it.
        Ambiguous: the version holds several models.
        MissingExtra: a package that it takes is not installed.
    """
    framework, found = loader_for(folder, files, path)
    with _plainly(f"{framework.name} could not open {found.path!r}", passing=(MemoryError,)):
        return framework.load(folder, found.path, trust=trust)


@contextmanager
def _plainly(what: str, passing: tuple[type[Exception], ...]) -> Iterator[None]:
    """Turn whatever a framework raises into one plain error; ``passing`` is not the model's fault."""
    try:
        yield
    except Exception as error:
        if isinstance(error, (LeptonError, *passing)):
            raise
        raise Unsupported(f"{what}: {first_line(error)}") from error
