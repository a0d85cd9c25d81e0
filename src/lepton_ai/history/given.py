"""What people give through the Python face, checked before it is used: a wrong type is one plain error."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from numbers import Integral, Real
from pathlib import Path
from typing import Any, cast

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.store.durable import storage_error


def path(value: object, what: str) -> Path:
    """The path that was given as ``what``; whether something is there is another question.

    Raises:
        UsageError: it is none.
    """
    problem = ""
    try:
        found = Path(value)  # type: ignore[arg-type]  # that is what we ask
        found.lstat()
    except TypeError:
        problem = f"is {_told(value)}, not a path"
    except ValueError:  # a null byte, or half a character
        problem = f"cannot be the path of a file: {str(value)!r}"
    except OSError:
        pass  # not there, or may not be seen: whoever uses it tells
    if not problem and value == "":
        problem = "is empty"
    if problem:
        raise UsageError(f"{what} {problem}", hint="give a text or a pathlib.Path")
    return found


def content(place: Path) -> bytes:
    """What is in a file that was named.

    Raises:
        NotFound: there is none. UsageError: it is a folder. InfrastructureError: it cannot be read.
    """
    try:
        return place.expanduser().read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound(f"there is no file {place}", hint="check the path") from None
    except IsADirectoryError:
        raise UsageError(f"{place} is a folder", hint="name a file in it") from None
    except OSError as problem:
        raise storage_error(problem, place) from problem


def count(value: object, what: str) -> int | None:
    """The number that was given as ``what``; None for none.

    Raises:
        UsageError: it is no whole number from 0 on.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 0:
        raise UsageError(f"{what} is {_told(value)}, not a number of things", hint="give 0 or more, or None")
    return int(value)


def seconds(value: object, what: str) -> float:
    """The time that was given as ``what``.

    Raises:
        UsageError: it is no number from 0 on, or one of thousands of years.
    """
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= cast("float", value) < 1e11:
        raise UsageError(
            f"{what} is {_told(value)}, not a number of seconds", hint="give 0 or more, 14 * 86400 say"
        )
    return float(value)


def switch(value: object, what: str) -> bool:
    """The yes or no that was given as ``what``: every text is true, also "no".

    Raises:
        UsageError: it is something else.
    """
    if not isinstance(value, bool):
        raise UsageError(f"{what} is {_told(value)}", hint="give True or False")
    return value


def several(value: object, what: str) -> list[Any]:
    """The things that were given as ``what``, in a list, tuple or the like.

    Raises:
        UsageError: it is a single one.
    """
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise UsageError(f"{what} are {_told(value)}, not several things", hint="give a list")
    return list(value)


def named(value: object, what: str) -> dict[str, Any]:
    """The things that were given as ``what``, each with its name.

    Raises:
        UsageError: they are no mapping, or a name is no text.
    """
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise UsageError(f"{what} are {_told(value)}, not things by their names", hint="give a dict")
    return dict(value)


def _told(value: object) -> str:
    return (
        repr(value) if value is None or isinstance(value, bool | int | float) else f"a {type(value).__name__}"
    )
