"""Merging small arrays and lists with one method, by hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from lepton_ai.history.merges.contract import Case, Method
from lepton_ai.history.merges.parameters import settled

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Floats


class Held:
    """A parent in memory."""

    def __init__(self, elements: Any, *, wide: bool = False) -> None:
        array = np.asarray(elements, np.float64 if wide else np.float32)
        self.shape: tuple[int, ...] = array.shape
        self._flat: Floats = np.ascontiguousarray(array).reshape(-1)
        self._flat.flags.writeable = False

    @property
    def size(self) -> int:
        """Elements in all."""
        return len(self._flat)

    def part(self, start: int, stop: int) -> Floats:
        """The elements ``start … stop``."""
        return self._flat[start:stop]


def case_of(
    method: Method,
    models: Sequence[Any],
    *,
    base: Any = None,
    aids: Mapping[str, Sequence[Any]] | None = None,
    name: str = "w",
    seed: int = 0,
    wide: bool = False,
    **parameters: Any,
) -> Case:
    """The case of arrays or nested lists; parameters are the method's own."""
    return Case(
        name=name,
        models=tuple(Held(model, wide=wide) for model in models),
        base=None if base is None else Held(base, wide=wide),
        parameters=settled(method, parameters, len(models)),
        aids={kind: tuple(Held(aid, wide=wide) for aid in some) for kind, some in (aids or {}).items()},
        seed=seed,
        wide=wide,
    )


def result_of(method: Method, case: Case) -> Floats:
    """The whole merged tensor, in its shape."""
    return method.prepare(case)(0, case.size).reshape(case.shape)


def merged(method: Method, *models: Any, **given: Any) -> Any:
    """The merge of nested lists as nested lists; see :func:`case_of`."""
    return result_of(method, case_of(method, models, **given)).tolist()
