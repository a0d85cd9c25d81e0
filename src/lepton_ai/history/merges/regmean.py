"""RegMean: of a linear layer the weights whose outputs come nearest to those of all models, each on its own inputs.

    G'ᵢ = α·Gᵢ + (1 - α)·diag(Gᵢ)        W = (Σ Wᵢ·G'ᵢ)·(Σ G'ᵢ)⁻¹        for W of [outputs, inputs]

Gᵢ = Xᵢᵀ·Xᵢ is the Gram matrix of the inputs that the layer of model i sees, [inputs, inputs]; it is given for each
model. Where the sum cannot be inverted, directions that no input has are averaged. Kernels of [inputs, outputs] (Keras)
say ``inputs_first``. Tensors that are no matrix (biases, norms) are averaged. NaN and infinity spread over the weights
of one output. It holds some matrices of [inputs, inputs] in float64 (with ``inputs_first`` the tensor, too), and its
last bits may differ between machines.

>>> from lepton_ai.testing.merge_cases import merged
>>> grams = [[[2.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]]
>>> merged(METHOD, [[1.0, 1.0]], [[5.0, 5.0]], aids={"gram": grams})
[[1.0, 5.0]]

Source: Jin et al., Dataless knowledge fusion by merging weights of language models, 2022,
    https://arxiv.org/abs/2212.09849
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lepton_ai.history.merges.contract import Parameter
from lepton_ai.history.merges.passes import kind
from lepton_ai.history.merges.sums import summed

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Floats, Method, Part

GROUP = 64
"""Outputs that are computed together, always the same ones: an element does not depend on what is asked for with it."""


class RegMean:
    """The average by what each layer sees."""

    name = "regmean"
    line = "for linear layers: nearest to all models' outputs (needs Gram matrices of their inputs)"
    source = "https://arxiv.org/abs/2212.09849"
    parameters = (
        Parameter("alpha", "how much of a Gram matrix beside its diagonal counts", 0.9, least=0, most=1),
        Parameter("inputs_first", "a kernel is [inputs, outputs], as in Keras", False, switch=True),
    )
    needs_base = False
    models = (1, None)
    aids = ("gram",)
    takes = ""

    def objection(self, case: Case) -> str:
        """A matrix without Gram matrices, or with such of another size."""
        if len(case.shape) != 2:
            return ""
        given = case.aids.get("gram", ())
        if len(given) != len(case.models):
            return "regmean needs the Gram matrix of the inputs for each model (--aid gram=VERSION)"
        inputs = case.shape[0 if case.parameters["inputs_first"] else 1]
        if any(aid.shape != (inputs, inputs) for aid in given):
            shapes = " and ".join(sorted({str(list(aid.shape)) for aid in given}))
            return f"its Gram matrices are {shapes}, not {[inputs, inputs]}"
        return ""

    def prepare(self, case: Case) -> Part:
        """Solve for what each model's weights are multiplied by."""
        import numpy as np

        if len(case.shape) != 2 or not case.size:
            return summed(case.models, [1 / len(case.models)] * len(case.models), case)
        factors = _factors(case)
        row = case.shape[1]
        if case.parameters["inputs_first"]:
            kernels = [model.part(0, case.size).reshape(case.shape).T for model in case.models]
            result = np.ascontiguousarray(_mixed(kernels, factors).T).astype(kind(case)).reshape(-1)
            return lambda start, stop: result[start:stop]

        def part(start: int, stop: int) -> Floats:
            first, last = start // row // GROUP * GROUP, -(-stop // row)
            groups = [rows(at) for at in range(first, last, GROUP)]
            whole: Floats = np.concatenate([np.empty(0, kind(case)), *groups])
            return whole[start - first * row : stop - first * row]

        def rows(first: int) -> Floats:
            end = min(case.size, (first + GROUP) * row)
            some = [model.part(first * row, end).reshape(-1, row) for model in case.models]
            mixed: Floats = _mixed(some, factors).astype(kind(case)).reshape(-1)
            return mixed

        return part


def _factors(case: Case) -> list[Any]:
    """G'ᵢ·(Σ G')⁻¹ of each model."""
    import numpy as np

    alpha = case.parameters["alpha"]
    grams = []
    for aid in case.aids["gram"]:
        gram = aid.part(0, aid.size).astype(np.float64).reshape(aid.shape)
        grams.append(alpha * gram + (1 - alpha) * np.diag(np.diag(gram)))
    total = np.sum(grams, axis=0)
    try:
        solved = [np.linalg.solve(total, gram).T for gram in grams]
    except np.linalg.LinAlgError:
        solved = []
    if solved and all(np.isfinite(one).all() for one in solved):
        return solved
    inverse = np.linalg.pinv(total, hermitian=True)
    return [gram @ inverse for gram in grams]


def _mixed(kernels: list[Any], factors: list[Any]) -> Any:
    """Σ Wᵢ·factorᵢ of [outputs, inputs], in float64: the average, and what the models differ from it in."""
    import numpy as np

    wide = [kernel.astype(np.float64) for kernel in kernels]
    away = np.sum([wide[0] - one for one in wide], axis=0) / len(wide)
    average = wide[0] - (away + 0.0)  # taken away, and no negative zero, as in sums.take_away
    away = np.sum([(average - one) @ factor for one, factor in zip(wide, factors, strict=True)], axis=0)
    return average - (away + 0.0)


METHOD: Method = RegMean()
