"""What every merge method promises, as properties of cases that hypothesis makes up."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from lepton_ai.history.merges.contract import Case, Method, Parameter
from lepton_ai.history.merges.parameters import obstacle
from lepton_ai.history.merges.passes import STRETCH, TILE, kind
from lepton_ai.testing.merge_cases import Held, case_of

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Floats

Aids = dict[str, list[Any]]
Shapes = list[tuple[int, ...]] | None
Shared = Callable[[list[Any]], list[Any]]

_LAW = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.differing_executors, HealthCheck.too_slow],
)
"""Every method keeps a dozen laws; and timing is no promise of a suite that several classes run."""

SHAPES = [(), (0,), (1,), (9,), (3, 5), (4, 1), (0, 3), (2, 3, 2, 2), (TILE + 5,), (3, TILE)]
ODD = [0.0, -0.0, 1e-45, -3e-39, 1e-7, 65504.0, -1e6]
"""Zeros of both signs, denormals, and numbers that are far apart."""

BAD = [np.nan, np.inf, -np.inf]


class MergeSuite:
    """Subclass it, and set ``method``; say what of the rest does not hold for it, or what it must be told."""

    method: Method
    told: ClassVar[dict[str, Any]] = {}
    """Parameters under which the laws hold: what is not in here is drawn from the ranges that the method states."""

    shapes: ClassVar[list[tuple[int, ...]]] = SHAPES

    local = True
    """An element that is the same in all parents stays as it is, whatever is around it."""

    alike = True
    """merge(a, base, a) is a, bit for bit."""

    contained = True
    """An element depends on others by what is measured of the whole tensor only, so that no NaN comes from them."""

    chance = False
    """What it does depends on the seed and the tensor's name."""

    room = 32 << 20
    """Bytes of memory that it may need for any tensor."""

    def aids(self, _shape: tuple[int, ...], _models: int, _random: np.random.Generator, /) -> Aids:
        """Further tensors for a case: what the method needs, for each model."""
        return {}

    def parameters(self, data: st.DataObject, models: int) -> dict[str, Any]:
        """Values for the method's parameters."""
        drawn = {p.name: _value(data, p, models) for p in self.method.parameters if p.name not in self.told}
        return {**drawn, **self.told}

    def case(
        self,
        data: st.DataObject,
        shapes: Shapes = None,
        shared: Shared = lambda all_: all_[1:],
    ) -> Case:
        """A case that the method can merge; ``shared`` makes the models of the base and changed ones."""
        least, most = self.method.models
        count = data.draw(st.integers(max(2, least), most or 4)) if most != 1 else 1
        random = np.random.default_rng(data.draw(st.integers(0, 2**32)))
        shape = data.draw(st.sampled_from(shapes or self.shapes))
        base = _numbers(random, shape)
        moves = [
            np.where(random.random(shape) < 0.7, 0.1 * random.standard_normal(shape), 0) for _ in range(count)
        ]
        models = shared([base, *(base + move for move in moves)])
        case = case_of(
            self.method,
            models,
            base=base if self.method.needs_base else None,
            aids=self.aids(shape, count, random),
            seed=data.draw(st.integers(0, 2**64)),
            wide=data.draw(st.booleans()),
            **self.parameters(data, len(models)),
        )
        assume(not obstacle(self.method, case))
        return case

    def whole(self, case: Case) -> Floats:
        """The merged tensor, flat."""
        return self.method.prepare(case)(0, case.size)

    @_LAW
    @given(st.data())
    def test_it_does_not_matter_in_which_parts_it_is_asked_for(self, data: st.DataObject) -> None:
        """Parts of any length, in any order, are those of the whole."""
        case = self.case(data)
        whole = self.whole(case)
        assert whole.dtype == kind(case)
        assert whole.shape == (case.size,)
        cuts = data.draw(st.lists(st.integers(0, case.size), max_size=6))
        edges = [0, *sorted(cuts), case.size]
        spans = data.draw(st.permutations(list(pairwise(edges))))
        part = self.method.prepare(case)
        for start, stop in spans:
            same_bits(part(start, stop), whole[start:stop])

    @_LAW
    @given(st.data())
    def test_what_all_parents_share_stays(self, data: st.DataObject) -> None:
        """Merging a version with itself changes nothing."""
        case = self.case(data, shared=lambda all_: all_[:1] * (len(all_) - 1))
        same_bits(self.whole(case), case.models[0].part(0, case.size))

    @_LAW
    @given(st.data())
    def test_an_element_that_nobody_changed_stays(self, data: st.DataObject) -> None:
        """Bit for bit, whatever stands around it."""
        if not self.local:
            return
        case = self.case(data)
        parents = [parent.part(0, case.size) for parent in case.models]
        base = parents[0] if case.base is None else case.base.part(0, case.size)
        still = np.logical_and.reduce([_bits(parent) == _bits(base) for parent in parents])
        same_bits(self.whole(case)[still], base[still])

    @_LAW
    @given(st.data())
    def test_both_sides_made_the_same_change(self, data: st.DataObject) -> None:
        """Merging a with base and a is a."""
        if not self.alike:
            return
        case = self.case(data, shared=lambda all_: all_[1:2] * (len(all_) - 1))
        same_bits(self.whole(case), case.models[0].part(0, case.size))

    @_LAW
    @given(st.data())
    def test_what_is_no_number_does_not_spread(self, data: st.DataObject) -> None:
        """NaN and infinity of a parent leave other elements finite."""
        if not self.contained:
            return
        case = self.case(data, [(9,), (3, 5), (4, 1)])
        parents = [parent.part(0, case.size).copy() for parent in case.models]
        places = data.draw(st.lists(st.integers(0, case.size - 1), max_size=3))
        for place in places:
            parents[data.draw(st.integers(0, len(parents) - 1))][place] = data.draw(st.sampled_from(BAD))
        bad = tuple(Held(one.reshape(case.shape), wide=case.wide) for one in parents)
        result = self.whole(msgspec.structs.replace(case, models=bad))
        assert np.isfinite(np.delete(result, places)).all()

    @_LAW
    @given(st.data())
    def test_infinity_and_nan_that_nobody_changed_stay(self, data: st.DataObject) -> None:
        """Elements that are no number are kept like any other."""
        if not self.local:
            return
        case = self.case(data, [(9,), (3, 5)])
        bad = np.array([*BAD, -0.0])

        def spoilt(parent: Any) -> Held:
            elements = parent.part(0, case.size).copy()
            elements[: len(bad)] = bad
            return Held(elements.reshape(case.shape), wide=case.wide)

        base = None if case.base is None else spoilt(case.base)
        case = msgspec.structs.replace(case, base=base, models=tuple(map(spoilt, case.models)))
        same_bits(self.whole(case)[: len(bad)], case.models[0].part(0, len(bad)))

    @_LAW
    @given(st.data())
    def test_the_same_seed_and_name_give_the_same(self, data: st.DataObject) -> None:
        """Always for the same case; for any seed where there is no chance."""
        case = self.case(data)
        same_bits(self.whole(case), self.whole(case))
        if not self.chance:
            other = msgspec.structs.replace(case, seed=case.seed + 1, name=case.name + "'")
            same_bits(self.whole(case), self.whole(other))

    @_LAW
    @given(st.data())
    def test_another_seed_or_name_gives_another(self, data: st.DataObject) -> None:
        """Chance depends on both."""
        if not self.chance:
            return
        case = self.case(data, [(40, 30)])
        share = dict(case.parameters, density=tuple(0.5 for _ in case.models))
        case = msgspec.structs.replace(case, parameters=share)
        whole = self.whole(case)
        for other in ({"seed": case.seed + 1}, {"name": case.name + "'"}):
            assert np.any(self.whole(msgspec.structs.replace(case, **other)) != whole)

    def test_what_it_says_of_itself(self) -> None:
        """Names, lines and ranges make sense, and the lack of a base is told before."""
        method = self.method
        assert method.name.isidentifier()
        assert method.line.strip() == method.line != ""
        assert len({parameter.name for parameter in method.parameters}) == len(method.parameters)
        for parameter in method.parameters:
            assert parameter.line
            if parameter.default is not None and not parameter.switch:
                assert parameter.least <= parameter.default <= parameter.most
        if method.needs_base:
            models = method.models[0]
            case = case_of(method, [[1.0, 2.0]] * models)
            assert "base" in obstacle(method, case)

    @pytest.mark.parametrize("shape", [(3 * STRETCH,), (6, STRETCH // 2), (STRETCH // 64, 3, 8, 8)])
    def test_memory_does_not_grow_with_the_tensor(self, shape: tuple[int, ...]) -> None:
        """Measuring and merging take ``room``, whatever the tensor takes."""
        least, most = self.method.models
        count = max(least, 2 if most is None else min(2, most))
        given = {"density": 0.5} if any(p.name == "density" for p in self.method.parameters) else {}
        small = case_of(self.method, [[0.0]] * count, **{**given, **self.told})
        case = msgspec.structs.replace(
            small,
            models=tuple(_Endless(shape, i + 1) for i in range(count)),
            base=_Endless(shape, 0) if self.method.needs_base else None,
            aids={kind: tuple(_Endless(shape, 9) for _ in range(count)) for kind in self.method.aids},
        )
        if obstacle(self.method, case):
            return
        tracemalloc.start()
        try:
            part = self.method.prepare(case)
            for start in range(0, case.size, STRETCH):
                part(start, min(case.size, start + STRETCH))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < self.room


class _Endless:
    """A parent that is computed when it is asked for, so that it takes no memory."""

    def __init__(self, shape: tuple[int, ...], number: int) -> None:
        self.shape: tuple[int, ...] = shape
        self._number = number

    @property
    def size(self) -> int:
        """Elements in all."""
        return int(np.prod(self.shape))

    def part(self, start: int, stop: int) -> Floats:
        """The elements ``start … stop``."""
        places = np.arange(start, stop, dtype=np.uint32)
        places *= np.uint32(2654435761 + 2 * self._number)
        return (places >> np.uint32(12)).astype(np.float32)


def _value(data: st.DataObject, parameter: Parameter, models: int) -> Any:
    if parameter.switch:
        return data.draw(st.booleans())
    if parameter.default is None:
        return None
    numbers = st.floats(max(parameter.least, -2), min(parameter.most, 2), width=16)
    if parameter.least == float("-inf"):
        numbers = numbers.filter(lambda x: abs(x) > 0.01)
    return data.draw(st.lists(numbers, min_size=models, max_size=models) if parameter.each else numbers)


def _numbers(random: np.random.Generator, shape: tuple[int, ...]) -> Any:
    numbers = random.standard_normal(shape)
    odd = random.choice(np.array(ODD), shape)
    return np.where(random.random(shape) < 0.2, odd, numbers)


def _bits(elements: Floats) -> Any:
    return elements.view(f"u{elements.itemsize}")


def same_bits(result: Floats, expected: Floats) -> None:
    """Assert that both are the same, bit for bit; any NaN is like any other."""
    assert result.dtype == expected.dtype
    assert result.shape == expected.shape
    either = (_bits(result) == _bits(expected)) | (np.isnan(result) & np.isnan(expected))
    places = np.flatnonzero(~either)
    assert not len(places), f"at {places[:5]}: {result[places[:5]]} is not {expected[places[:5]]}"
