"""The methods that ship with the package keep the laws of methods."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st

from lepton_ai.history.merges.registry import method
from lepton_ai.testing.merges import Aids, MergeSuite

AVERAGE = {"normalize": True}


class TestTakeOurs(MergeSuite):
    method = method("take_ours")


class TestTakeTheirs(MergeSuite):
    method = method("take_theirs")


class TestTakeBase(MergeSuite):
    method = method("take_base")
    alike = False


class TestPassthrough(MergeSuite):
    method = method("passthrough")


class TestLinear(MergeSuite):
    method = method("linear")
    told = AVERAGE


class TestSlerp(MergeSuite):
    method = method("slerp")
    local = False  # the arc leads over the sphere: what is equal grows when the rest turns


class TestMultiSlerp(MergeSuite):
    method = method("multislerp")
    told: ClassVar = {"normalize_weights": True, "eps": 1e-8}
    local = False


class TestTaskArithmetic(MergeSuite):
    method = method("task_arithmetic")
    alike = False  # both changes are added


class TestTies(MergeSuite):
    method = method("ties")
    alike = False


class TestDareLinear(MergeSuite):
    method = method("dare_linear")
    alike, chance = False, True


class TestDareTies(MergeSuite):
    method = method("dare_ties")
    alike, chance = False, True


class Narrow:
    """DELLA's probabilities must stay between 0 and 1."""

    def parameters(self, data: st.DataObject, models: int) -> dict[str, Any]:
        return {
            **super().parameters(data, models),  # type: ignore[misc]
            "density": data.draw(
                st.lists(st.sampled_from([0, 0.4, 0.7, 1]), min_size=models, max_size=models)
            ),
            "epsilon": data.draw(st.lists(st.floats(0, 0.25), min_size=models, max_size=models)),
        }


class TestDella(Narrow, MergeSuite):
    method = method("della")
    alike, chance = False, True
    room = 256 << 20  # rows are sorted


class TestDellaLinear(Narrow, MergeSuite):
    method = method("della_linear")
    alike, chance = False, True
    room = 256 << 20


class TestBreadcrumbs(MergeSuite):
    method = method("breadcrumbs")
    alike = False


class TestBreadcrumbsTies(MergeSuite):
    method = method("breadcrumbs_ties")
    alike = False


class TestSce(MergeSuite):
    method = method("sce")
    alike = False


class TestModelStock(MergeSuite):
    method = method("model_stock")
    alike = False


class TestFisher(MergeSuite):
    method = method("fisher")

    def parameters(self, data: st.DataObject, models: int) -> dict[str, Any]:
        return {"weight": data.draw(st.lists(st.floats(0.01, 3), min_size=models, max_size=models))}

    def aids(self, shape: tuple[int, ...], models: int, random: np.random.Generator) -> Aids:
        return {"fisher": [np.maximum(random.standard_normal(shape), 0) for _ in range(models)]}


class TestRegMean(MergeSuite):
    method = method("regmean")
    told: ClassVar = {"inputs_first": False}
    shapes: ClassVar = [(), (0,), (9,), (3, 5), (4, 1), (0, 3), (200, 3), (3, 200)]
    local = contained = False  # every output looks at all inputs

    def aids(self, shape: tuple[int, ...], models: int, random: np.random.Generator) -> Aids:
        if len(shape) != 2:
            return {}
        inputs = shape[0 if self.told["inputs_first"] else 1]
        seen = [random.standard_normal((2, inputs)) for _ in range(models)]
        return {"gram": [one.T @ one for one in seen]}


class TestRegMeanOfKernels(TestRegMean):
    told: ClassVar = {"inputs_first": True}
