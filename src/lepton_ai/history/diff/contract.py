"""What a difference is made of: frozen values that JSON, the terminal and the page are written from."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

FileStatus = Literal["same", "changed", "added", "removed", "renamed"]
TensorStatus = Literal["same", "changed", "added", "removed", "renamed", "retyped", "reshaped"]
Status = Literal["added", "removed", "changed"]


class FileChange(msgspec.Struct, frozen=True):
    """A file before and after; ``path`` is the newer one. Sizes in bytes, None where there is no file."""

    path: str
    status: FileStatus
    path_before: str | None = None
    size_before: int | None = None
    size: int | None = None


class Numbers(msgspec.Struct, frozen=True):
    """What one side's elements are like: of the finite ones mean, standard deviation, least and greatest.

    None: there are none, or they are no numbers. Complex elements count with their modulus.
    """

    mean: float | None
    std: float | None
    min: float | None
    max: float | None
    nan: int
    inf: int


class Histogram(msgspec.Struct, frozen=True):
    """How large the differences Δ are: bin ``i`` counts those with edges[i] ≤ |Δ| < edges[i+1], by sign.

    The edges are powers of two; the first bin takes everything smaller, but not what did not change.
    """

    edges: tuple[float, ...]
    negative: tuple[int, ...]
    positive: tuple[int, ...]


class TensorChange(msgspec.Struct, frozen=True):
    """A tensor before and after, and what lies between: Δ = after − before, over the elements that are finite in both.

    ``changed`` counts elements whose bits differ (values, where the type differs), ``l2`` is ‖Δ‖, ``l2_relative``
    ‖Δ‖/‖before‖, ``cosine`` that of the angle between both. None: not known, or not defined. ``measured_fraction`` is
    the share of the elements that lie in blocks which differ: only those were read, and ``l2_relative``, ``cosine``,
    ``before`` and ``after`` are of them alone.
    """

    name: str
    status: TensorStatus
    layer: str = ""
    file: str = ""
    name_before: str | None = None
    file_before: str | None = None
    dtype: str | None = None
    dtype_before: str | None = None
    shape: tuple[int, ...] | None = None
    shape_before: tuple[int, ...] | None = None
    elements: int = 0
    nbytes: int = 0
    changed: int | None = None
    changed_fraction: float | None = None
    max_abs: float | None = None
    l2: float | None = None
    l2_relative: float | None = None
    cosine: float | None = None
    before: Numbers | None = None
    after: Numbers | None = None
    introduced_nan: int = 0
    introduced_inf: int = 0
    histogram: Histogram | None = None
    measured_fraction: float | None = None
    note: str = ""


class LayerChange(msgspec.Struct, frozen=True):
    """The tensors of one layer together; ``tensors`` counts those that differ."""

    name: str
    tensors: int
    changed_fraction: float | None
    max_abs: float | None
    l2_relative: float | None


class Told(msgspec.Struct, frozen=True):
    """Something said of both versions: a param, a metric, a property of the dataset, code or environment, a package.

    ``delta`` is after − before of two numbers.
    """

    key: str
    status: Literal["same", "added", "removed", "changed"]
    before: Any = None
    after: Any = None
    delta: float | None = None


class Part(msgspec.Struct, frozen=True):
    """A node or layer of the architecture that differs; ``attributes`` are those that changed: (before, after)."""

    name: str
    kind: str
    status: Status
    attributes: dict[str, tuple[str | None, str | None]] = {}
    file: str = ""


class Sides(msgspec.Struct, frozen=True):
    """What one side is called for people, and its version's id (None: it is a file or folder)."""

    label: str
    id: str | None = None


class Report(msgspec.Struct, frozen=True):
    """Everything between two sides. Lists hold only what differs, unless all was asked for; ``same`` counts the rest.

    ``same_weights``: every tensor is equal, bit for bit, under its name; never when only some were compared, because
    others were not asked for or cannot be read (not ``complete``). ``bytes_read`` of ``bytes`` of the tensors.
    """

    before: Sides
    after: Sides
    same_content: bool
    same_weights: bool
    files: tuple[FileChange, ...]
    tensors: tuple[TensorChange, ...]
    layers: tuple[LayerChange, ...]
    same: int
    params: tuple[Told, ...] = ()
    metrics: tuple[Told, ...] = ()
    dataset: tuple[Told, ...] = ()
    code: tuple[Told, ...] = ()
    environment: tuple[Told, ...] = ()
    packages: tuple[Told, ...] = ()
    architecture: tuple[Part, ...] = ()
    notes: tuple[str, ...] = ()
    complete: bool = True
    bytes: int = 0
    bytes_read: int = 0

    @property
    def differs(self) -> bool:
        """Whether there is any difference at all."""
        told = (self.params, self.metrics, self.dataset, self.code, self.environment, self.packages)
        lists = (self.files, self.tensors, *told)
        return bool(self.architecture) or any(item.status != "same" for items in lists for item in items)

    @property
    def introduces(self) -> tuple[TensorChange, ...]:
        """The tensors that hold more NaN or infinities than before."""
        return tuple(t for t in self.tensors if t.introduced_nan or t.introduced_inf)


SECTIONS = (
    ("metrics", "Metrics"), ("params", "Params"), ("dataset", "Dataset"), ("code", "Code"),
    ("environment", "Environment"), ("packages", "Packages"),
)  # fmt: skip
"""What is told of versions, in the order that people are shown it, with its title."""
