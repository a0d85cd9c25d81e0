"""Tensors of versions: told without reading them, summed up, read a stretch at a time, followed along a branch."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query

from lepton_ai.errors import Ambiguous, NotFound, UsageError
from lepton_ai.history.course import Course
from lepton_ai.history.elements import Elements, Tensors
from lepton_ai.repository import ModelRepository
from lepton_ai.server import cursors, shapes
from lepton_ai.server.asked import WHERE, Reading
from lepton_ai.server.bodies import Told
from lepton_ai.server.cursors import Cursor, Limit
from lepton_ai.server.routes.versions import Address, Branch
from lepton_ai.server.shapes import TensorFacts, shaped
from lepton_ai.server.worded import answer, worded
from lepton_ai.telling.tensors import numbers, summed

router = APIRouter(prefix=WHERE, tags=["tensors"])

MOST_VALUES = 10_000
Tensor = Annotated[
    str, Path(description="Its name, or FILE:NAME when several files have it", examples=["layers.0.weight"])
]
TensorHistory = worded(Course, "TensorHistory")


@router.get("/versions/{version}/tensors", summary="The tensors of a version")
def list_tensors(
    asked: Reading, version: Address, branch: Branch = None, after: Cursor = None, limit: Limit = 1000
) -> Told[shapes.Tensors]:
    """Names, types and shapes, told without reading data. ``next`` continues."""
    found = asked.repository.version(version, branch or "main").tensors()
    start = cursors.decode(after, int) or 0
    more = cursors.encode(start + limit) if len(found) > start + limit else None
    return shaped(shapes.Tensors, {"tensors": found[start : start + limit], "next": more})


@router.get(
    "/versions/{version}/tensors/{tensor:path}", summary="A tensor: its numbers summed up, and some of them"
)
def show_tensor(
    asked: Reading,
    version: Address,
    tensor: Tensor,
    branch: Branch = None,
    start: Annotated[int, Query(ge=0, description="The first element to show, in row-major order")] = 0,
    count: Annotated[int, Query(ge=0, le=MOST_VALUES, description="How many to show")] = 100,
    statistics: Annotated[bool, Query(description="Read all of it and sum it up")] = True,
) -> Told[TensorFacts]:
    """Only its own blocks are read, and without ``statistics`` only those that are shown."""
    elements = _elements(asked.repository, version, branch, tensor)
    if start > elements.size:
        raise UsageError(f"{tensor!r} has {elements.size:,} elements, and {start:,} is behind them")
    part = elements.part(start, min(elements.size, start + count))
    plain = numbers(part)
    told = {
        "name": elements.address,
        "dtype": elements.tensor.dtype,
        "shape": elements.shape,
        "elements": elements.size,
        "nbytes": elements.nbytes,
        "start": start,
        "values": [str(value) for value in part.tolist()] if plain is None else plain.tolist(),
    }
    return shaped(TensorFacts, told | (summed(elements) if statistics else {}))


@router.get(
    "/tensor-histories/{tensor:path}", summary="A tensor along a branch", response_model=answer(TensorHistory)
)
def tensor_history(
    asked: Reading,
    tensor: Tensor,
    branch: Branch = None,
    element: Annotated[str | None, Query(description="One element, by its indices", examples=["3,7"])] = None,
    stat: Annotated[
        str, Query(description="norm, mean, std, min, max, rms, nan, inf or moved", examples=["mean"])
    ] = "norm",
) -> Any:
    """An element or a statistic of it in every version, the oldest first."""
    place = None if element is None else _place(element)
    found = asked.repository.tensor_history(tensor, branch or "main", element=place, stat=stat)
    return shaped(TensorHistory, found)


def _elements(repository: ModelRepository, version: str, branch: str | None, name: str) -> Elements:
    found = Tensors(repository.reader, repository.version(version, branch or "main").files)
    if name in found:
        return found[name]
    if name in found.lacking:
        raise NotFound(f"tensor {name!r} cannot be read: {found.lacking[name]}")
    path, _, inner = name.rpartition(":")
    fitting = [
        one for one in found.values() if one.name == (inner if path else name) and path in ("", one.path)
    ]
    if len(fitting) > 1:
        raise Ambiguous(f"{len(fitting)} files have a tensor {name!r}", hint="write FILE:NAME")
    if not fitting:
        raise NotFound(f"there is no tensor {name!r} in this version", hint="GET …/tensors lists them")
    return fitting[0]


def _place(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"{text[:80]!r} is no place of an element", hint="write its indices: 3,7") from None
