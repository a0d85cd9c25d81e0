"""Comparing: two versions, a version with files on the disk, one tensor along a branch."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from lepton_ai.errors import InvalidName, NotFound, UsageError
from lepton_ai.handles import Branch, Version
from lepton_ai.history import given
from lepton_ai.history.course import Course, course
from lepton_ai.history.diff import page
from lepton_ai.history.diff.contract import Report
from lepton_ai.history.diff.run import Asked, Side, difference
from lepton_ai.history.diff.tensors import SORTS, Sort
from lepton_ai.history.outside import Outside
from lepton_ai.history.record import text

if TYPE_CHECKING:
    from lepton_ai.repository import ModelRepository

Comparable = str | Path | Version | Branch


class Wanted(TypedDict, total=False):
    """What may be asked of a difference: see :func:`diff`."""

    tensor: str | None
    everything: bool
    whole: bool
    sort: Sort


class Difference(Report, frozen=True):
    """What lies between two versions; a notebook shows it as a table with charts."""

    def page(self) -> str:
        """A whole HTML page that needs nothing beside it."""
        return page.difference(self)

    def _repr_html_(self) -> str:
        return page.part_of_difference(self)


class TensorHistory(Course, frozen=True):
    """One tensor along a branch; a notebook shows it as a table with a plot."""

    def page(self) -> str:
        """A whole HTML page that needs nothing beside it."""
        return page.course(self)

    def _repr_html_(self) -> str:
        return page.part_of_course(self)


def diff(
    repository: ModelRepository,
    before: Comparable,
    after: Comparable | None = None,
    branch: str | Branch | None = None,
    **asked: Unpack[Wanted],
) -> Difference:
    """What lies between ``before`` and ``after``; of one version alone, what it changed of the one before it.

    A side is a version, its address, a branch (its newest), or the path of a file or folder; where a text may be both,
    it is the version. ``tensor``: only tensors whose names fit this glob. ``everything``: also what is the same.
    ``whole``: read all of the tensors that changed, not only the blocks that differ. ``sort``: "moved", "max",
    "changed", "name", "file".

    Raises:
        NotFound: there is no such version, and no such path.
        UsageError: there is no such order, or a single version without one before it.
        StorageFailed: a file on the disk changed meanwhile.
    """
    wanted = _wanted(asked)
    with ExitStack() as opened:
        one, other = _both(repository, before, after, branch)
        sides = _side(repository, one, branch, opened), _side(repository, other, branch, opened)
        report = difference(repository.reader, *sides, wanted, repository.progress)
        for side in sides:
            if side.outside is not None:
                side.outside.settle()
    return Difference(**{field: getattr(report, field) for field in report.__struct_fields__})


def tensor_history(
    repository: ModelRepository,
    name: str,
    branch: str | Branch | None = None,
    *,
    element: int | tuple[int, ...] | None = None,
    stat: str = "norm",
) -> TensorHistory:
    """A tensor's ``element``, or a statistic of it, in every living version of a branch, oldest first.

    ``stat``: "norm", "mean", "std", "min", "max", "rms", "nan", "inf", or "moved" (‖Δ‖/‖before‖).

    Raises:
        NotFound: no version has such a tensor.
        UsageError: there is no such statistic or element.
    """
    place = _place(element)
    where = repository.branch(branch.name if isinstance(branch, Branch) else branch).name
    versions = [repository.version(info.id) for info in repository.list_versions(where)]
    records = [(version.id, version.record) for version in versions]
    found = course(
        repository.reader,
        records,
        text(name, "the tensor's name"),
        branch=where,
        element=place,
        stat=text(stat, "the statistic"),
    )
    return TensorHistory(**{field: getattr(found, field) for field in found.__struct_fields__})


def _wanted(asked: Wanted) -> Asked:
    if strange := asked.keys() - Wanted.__annotations__.keys():
        raise UsageError(
            f"a diff takes no {min(strange)!r}", hint=f"it takes {', '.join(Wanted.__annotations__)}"
        )
    tensor, sort = asked.get("tensor"), asked.get("sort", "moved")
    if sort not in SORTS:
        raise UsageError(f"there is no order {sort!r}", hint=f"one of {', '.join(SORTS)}")
    return Asked(
        None if tensor is None else text(tensor, "the pattern of tensors"),
        given.switch(asked.get("everything", False), "everything"),
        given.switch(asked.get("whole", False), "whole"),
        sort,
    )


def _place(element: object) -> tuple[int, ...] | None:
    if element is None:
        return None
    listed = [element] if isinstance(element, int) else element
    if not isinstance(listed, list | tuple) or any(
        isinstance(index, bool) or not isinstance(index, int) for index in listed
    ):
        raise UsageError(f"{element!r} is no place of an element", hint="give its indices: element=(3, 7)")
    return tuple(listed)


def _both(
    repository: ModelRepository,
    before: Comparable,
    after: Comparable | None,
    branch: str | Branch | None,
) -> tuple[Comparable, Comparable]:
    if after is not None:
        return before, after
    version = _version(repository, before, branch)
    if isinstance(version, Path):
        raise UsageError(f"{version} has nothing before it", hint="name both sides")
    if not version.parents:
        raise UsageError(f"{version.name!r} is the first version of its line", hint="name both sides")
    return repository.version(version.parents[0]), version


def _side(
    repository: ModelRepository, meant: Comparable, branch: str | Branch | None, opened: ExitStack
) -> Side:
    found = _version(repository, meant, branch)
    if isinstance(found, Path):
        outside = opened.enter_context(Outside(found, repository.home.store))
        return Side(str(found), outside.entries, outside=outside)
    return Side(found.address, found.files, found.id, found.record)


def _version(repository: ModelRepository, meant: Comparable, branch: str | Branch | None) -> Version | Path:
    """The version that is meant, or the path."""
    if isinstance(meant, Path):
        return meant
    if isinstance(meant, Version):
        repository.living(meant)
        return meant
    if isinstance(meant, Branch):
        return repository.version(meant.name, meant)
    meant = text(meant, "the version")
    if meant.startswith(("./", "../", "~")) or Path(meant).is_absolute():
        return Path(meant).expanduser()
    try:
        return repository.version(meant, branch)
    except (NotFound, InvalidName):
        if os.path.exists(meant):  # noqa: PTH110  (Path.exists raises for a name that is too long)
            return Path(meant)
        raise
