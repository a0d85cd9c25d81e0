"""What a merge method takes and gives.

A method works on one tensor at a time. It sees the parents' elements a part at a time and gives the merged ones the
same way, so that memory does not grow with the tensor; what it must know of the whole tensor (norms, thresholds) it
measures before. It knows nothing of files, versions and dtypes of storage: who calls it turns stored elements into
float32 (float64 where they are kept so) and rounds the result back, to nearest even.

This module imports no numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.floating[Any]]
    Part = Callable[[int, int], Floats]
    """The merged elements ``start … stop``, C order: any range, in any order, from several threads at once."""


class Parent(Protocol):
    """One model's tensor (or an aid's), as elements in C order."""

    @property
    def shape(self) -> tuple[int, ...]:
        """In elements; () for a scalar."""

    @property
    def size(self) -> int:
        """Elements in all."""

    def part(self, start: int, stop: int) -> Floats:
        """The elements ``start … stop``, flat, in the case's working type; nobody writes into them.

        Methods ask for any range, again and again, and from several threads at once.
        """


class Case(msgspec.Struct, frozen=True):
    """One tensor to be merged.

    ``models`` have the base's shape, ours first; ``base`` is None where there is none. ``parameters`` are complete, as
    :func:`lepton_ai.history.merges.parameters.settled` makes them. ``aids`` holds further tensors by their kind
    ("fisher", "gram"), one for each model. ``wide`` means that elements come and go as float64, else float32. ``seed``
    and ``name`` together fix what chance decides, whatever the order of tensors and parts.
    """

    name: str
    models: tuple[Parent, ...]
    base: Parent | None = None
    parameters: Mapping[str, Any] = {}
    aids: Mapping[str, tuple[Parent, ...]] = {}
    seed: int = 0
    wide: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the models, and of the result."""
        return self.models[0].shape

    @property
    def size(self) -> int:
        """Elements of the result."""
        return self.models[0].size


class Parameter(msgspec.Struct, frozen=True):
    """What a method can be told.

    A ``switch`` is true or false, anything else a number from ``least`` to ``most``, both allowed. ``each`` means one
    value for every model, given as a list or as one that counts for all. Default None: not used when not given.
    """

    name: str
    line: str
    default: float | bool | None
    each: bool = False
    switch: bool = False
    least: float = float("-inf")
    most: float = float("inf")


class Method(Protocol):
    """A way to merge.

    ``merge(a, base, a)`` and the other laws that every method keeps are in :mod:`lepton_ai.testing.merges`.
    """

    @property
    def name(self) -> str:
        """As it is asked for: "ties"."""

    @property
    def line(self) -> str:
        """What it does, in one line for people."""

    @property
    def source(self) -> str:
        """Where it is described: the address of a paper or page, "" for what needs none."""

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """What it can be told; nothing else is taken."""

    @property
    def needs_base(self) -> bool:
        """Whether it works on differences to a common ancestor."""

    @property
    def models(self) -> tuple[int, int | None]:
        """The fewest and the most models that it takes, the base not counted; None for any number."""

    @property
    def aids(self) -> tuple[str, ...]:
        """The kinds of further tensors that it works with, one for each model; ``objection`` misses them."""

    @property
    def takes(self) -> str:
        """Whose elements the result is, untouched: "ours", "theirs" or "base"; "" for methods that compute.

        A method that takes is never asked for elements of a type that has no arithmetic: the stored bytes are copied.
        """

    def objection(self, case: Case) -> str:
        """Why it cannot merge this case, "" when it can. Looks at shapes, parameters and aids, reads no element."""

    def prepare(self, case: Case) -> Part:
        """Measure what the whole tensor must tell, and give the function for its parts.

        What it gives depends on the case alone: not on the parts that are asked for, nor on their order. NaN and
        infinity of a parent stay in their place; a method that makes one element of many says what becomes of them.
        """
