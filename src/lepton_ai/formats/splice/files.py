"""From a file's description and new elements to the new file, and to those beside it that it describes."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import TypeAlias

from lepton_ai.formats.contract import Malformed, Source, Tensor
from lepton_ai.formats.splice.bundle_index import BundleIndex
from lepton_ai.formats.splice.contract import Described, Edit, Plan, Refused
from lepton_ai.formats.splice.edited import Edited
from lepton_ai.formats.splice.elements import check_sizes
from lepton_ai.formats.splice.hdf5 import Hdf5
from lepton_ai.formats.splice.messages import Messages
from lepton_ai.formats.splice.plain import Plain
from lepton_ai.formats.splice.tree_sizes import TreeSizes
from lepton_ai.formats.splice.zip_archive import Zip

Planner: TypeAlias = Callable[[Source, Sequence[Tensor], Collection[str]], Plan]
"""Bytes, every tensor in them, the names of those that are to change → how."""

PLANNERS: dict[str, Planner] = {
    "safetensors": Plain,
    "savedmodel": Plain,
    "npy": Plain,
    "gguf": Plain,
    "onnx": Messages,
    "lightgbm": TreeSizes,
    "xgboost": Plain,
    "hdf5": Hdf5,
    **dict.fromkeys(("pt", "npz", "skops", "keras"), Zip),
}
"""What must be kept in order besides the elements, by the file's format."""

COVERS: dict[str, Planner] = {"savedmodel": BundleIndex}
"""Files that tell of the elements in files beside them."""


def refusals(
    path: str, described: Described, folder: Mapping[str, Source], names: Iterable[str]
) -> dict[str, str]:
    """Which of the tensors called ``names`` cannot be replaced in the file ``path``, and why; empty: all can.

    Reads headers only. ``folder`` holds every file of the version by its path, ``path`` among them.
    """
    reasons, _ = _planned(path, described, folder, frozenset(names))
    return reasons


def splice(
    path: str, described: Described, folder: Mapping[str, Source], changes: Mapping[str, Source]
) -> dict[str, Source]:
    """The files that change when the tensors of ``path`` called so get these elements, by path in ``folder``.

    What the result reads later is read from ``folder`` and ``changes``, in pieces.

    Raises:
        Refused: some cannot be replaced (as ``refusals`` tells), have another size, or contradict each other.
    """
    reasons, plans = _planned(path, described, folder, frozenset(changes))
    if reasons:
        raise Refused(reasons)
    tensors = {tensor.name: tensor for tensor in described.tensors}
    check_sizes(tensors, changes)
    edits: dict[str, list[Edit]] = {}
    for place, names, plan in plans:
        edits.setdefault(place, []).extend(plan.edits({name: changes[name] for name in names}))
    return {place: Edited(folder[place], found) for place, found in edits.items() if found}


def _planned(
    path: str, described: Described, folder: Mapping[str, Source], names: frozenset[str]
) -> tuple[dict[str, str], list[tuple[str, list[str], Plan]]]:
    """Refusals, and for every file that is touched the names of its tensors that change, and how they do."""
    tensors = {tensor.name: tensor for tensor in described.tensors}
    reasons = {name: "is none of its tensors" for name in sorted(names) if name not in tensors}
    planner = PLANNERS.get(described.format)
    if planner is None:
        return reasons | dict.fromkeys(sorted(names), _unknown(described.format)), []
    plans: list[tuple[str, list[str], Plan]] = []
    tasks = [
        (place, planner if place == path else Plain, inside)
        for place, inside in _by_file(path, described.tensors).items()
    ]
    if described.format in COVERS:
        tasks.append((path, COVERS[described.format], list(described.tensors)))
    for place, make, inside in tasks:
        changed = [tensor.name for tensor in inside if tensor.name in names]
        if not changed:
            continue
        if place not in folder:
            reasons |= dict.fromkeys(changed, f"lies in {place}, which is not there")
            continue
        try:
            plan = make(folder[place], inside, frozenset(changed))
        except Malformed as problem:
            why = f"cannot be replaced: {place} is not what it was when it was read: {problem}"
            reasons |= dict.fromkeys(changed, why)
        else:
            reasons |= plan.refused
            plans.append((place, changed, plan))
    return reasons, plans


def _unknown(format_: str) -> str:
    return f"cannot be replaced: how files of the format {format_!r} are written is not known here"


def _by_file(path: str, tensors: Iterable[Tensor]) -> dict[str, list[Tensor]]:
    """Tensors that have bytes, by the file that these lie in."""
    found: dict[str, list[Tensor]] = {}
    for tensor, place in _places(path, tensors):
        found.setdefault(place, []).append(tensor)
    return found


def _places(path: str, tensors: Iterable[Tensor]) -> Iterator[tuple[Tensor, str]]:
    for tensor in tensors:
        beside = {extent.path for extent in tensor.extents} or {""}
        for relative in sorted(beside):
            yield (
                tensor,
                posixpath.normpath(posixpath.join(posixpath.dirname(path), relative)) if relative else path,
            )
