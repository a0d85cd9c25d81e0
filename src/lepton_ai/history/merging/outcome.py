"""What a merge did, as the merged version keeps it beside its record: enough to do it again."""

from __future__ import annotations

from typing import Any

import msgspec

from lepton_ai.decodable import ready
from lepton_ai.errors import TooNew
from lepton_ai.history.merging.asked import Request
from lepton_ai.history.merging.evaluation import Judge, Score
from lepton_ai.history.merging.introduced import Introduced
from lepton_ai.history.merging.plan import FileFate, Plan
from lepton_ai.history.merging.tensors import Fate
from lepton_ai.history.record import plain_params
from lepton_ai.history.states import Resolution

SCHEMA = 1


class TensorFate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What became of one tensor.

    ``outcome``: ours, theirs (``model`` says which, where there are several), both (changed equally), removed, merged
    (by ``method`` with ``parameters``) or conflict. ``why``: what conflicted, also where a side was chosen.
    ``introduced_nan``, ``introduced_inf``: elements that are NaN or infinite though no model's are; a number may be too
    large for the type in which the merged tensor is kept.
    """

    name: str
    outcome: str
    model: int = 0
    method: str = ""
    parameters: dict[str, Any] = {}
    why: str = ""
    introduced_nan: int = 0
    introduced_inf: int = 0


class Outcome(msgspec.Struct, frozen=True):
    """What a merge did.

    ``models`` are the ids of the versions that were merged, ours first, ``bases`` those of their common ancestors,
    ``request`` what was asked. Of the tensors only those are told that somebody changed; ``same`` counts the others.
    ``read`` counts the bytes that were read to decide and to compute. ``resolutions`` are what people decided, who,
    when and why; ``scores`` what the candidates were worth to the ``judge``, where one was asked.
    """

    models: tuple[str, ...]
    bases: tuple[str, ...]
    request: Request
    files: tuple[FileFate, ...]
    tensors: tuple[TensorFate, ...]
    same: int
    read: int
    resolutions: tuple[Resolution, ...] = ()
    scores: tuple[Score, ...] = ()
    judge: Judge | None = None
    schema: int = SCHEMA

    @property
    def introduces(self) -> tuple[TensorFate, ...]:
        """The tensors into which NaN or infinities came."""
        return tuple(one for one in self.tensors if one.introduced_nan or one.introduced_inf)

    @classmethod
    def of(cls, data: bytes) -> Outcome:
        """What :func:`encode` wrote.

        Raises:
            TooNew: it has a form that this version of the tool does not know.
        """
        try:
            found = msgspec.json.decode(data, type=ready(cls))
        except msgspec.ValidationError as problem:
            what = f"the account of a merge has an unknown form: {problem}"
            raise TooNew(what, hint="use a newer lepton-ai") from problem
        if found.schema != SCHEMA:
            raise TooNew(f"the account of a merge has schema {found.schema}", hint="use a newer lepton-ai")
        return found


class Account(msgspec.Struct, frozen=True):
    """What is told of a merge besides what it did: see :class:`Outcome`."""

    resolutions: tuple[Resolution, ...] = ()
    scores: tuple[Score, ...] = ()
    judge: Judge | None = None


def outcome(plan: Plan, account: Account = Account()) -> Outcome:  # noqa: B008  (frozen)
    """What a plan does, or did."""
    return Outcome(
        resolutions=account.resolutions,
        scores=account.scores,
        judge=account.judge,
        models=tuple(side.id for side in plan.models),
        bases=tuple(side.id for side in plan.bases),
        request=plan.asked,
        files=tuple(plan.files),
        tensors=tuple(_told(fate, plan) for fate in plan.fates if fate.outcome != "same"),
        same=sum(fate.outcome == "same" for fate in plan.fates),
        read=plan.bytes_read,
    )


def encode(done: Outcome) -> bytes:
    """JSON with sorted keys."""
    return msgspec.json.encode(done, order="sorted")


def _told(fate: Fate, plan: Plan) -> TensorFate:
    pick = fate.pick
    return TensorFate(
        fate.address,
        fate.outcome,
        fate.taken if len(plan.models) > 2 else 0,
        pick.method if pick else "given" if fate.given else "",
        plain_params(pick.parameters) if pick else {},
        fate.why,
        *plan.introduced.get(fate.address, Introduced()),
    )
