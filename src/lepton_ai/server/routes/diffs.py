"""What lies between two versions."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from starlette.responses import HTMLResponse

from lepton_ai.comparing import Difference as Found
from lepton_ai.history.diff.contract import Report
from lepton_ai.history.diff.tensors import Sort
from lepton_ai.server.asked import WHERE, Asked, Reading
from lepton_ai.server.routes.versions import Branch
from lepton_ai.server.shapes import shaped
from lepton_ai.server.worded import answer, worded

router = APIRouter(prefix=WHERE, tags=["diffs"])

Difference = worded(Report, "Difference")
Before = Annotated[str, Query(description="The older side", examples=["v1"])]
After = Annotated[
    str | None,
    Query(
        description="The newer side; without it: what `before` changed of the one before it", examples=["v2"]
    ),
]
Tensor = Annotated[
    str | None, Query(description="Only tensors whose names fit this glob", examples=["encoder.*"])
]
Everything = Annotated[bool, Query(description="Also what is the same")]
Whole = Annotated[
    bool, Query(description="Read all of the tensors that changed, not only the blocks that differ")
]
Order = Annotated[Sort, Query(description="In which order tensors come")]


@router.get("/diff", summary="What lies between two versions", response_model=answer(Difference))
def diff(
    asked: Reading,
    before: Before,
    after: After = None,
    branch: Branch = None,
    tensor: Tensor = None,
    everything: Everything = False,
    whole: Whole = False,
    sort: Order = "moved",
) -> Any:
    """Files, tensors, layers, params, metrics, code, environment, architecture."""
    return shaped(Difference, _found(asked, before, after, branch, tensor, everything, whole, sort))


@router.get("/diff.html", summary="The same as a page", response_class=HTMLResponse)
def diff_page(
    asked: Reading,
    before: Before,
    after: After = None,
    branch: Branch = None,
    tensor: Tensor = None,
    everything: Everything = False,
    whole: Whole = False,
    sort: Order = "moved",
) -> HTMLResponse:
    """That needs nothing beside it, and may run nothing."""
    page = _found(asked, before, after, branch, tensor, everything, whole, sort).page()
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox"
    return HTMLResponse(page, headers={"Content-Security-Policy": policy})


def _found(
    asked: Asked,
    before: str,
    after: str | None,
    branch: str | None,
    tensor: str | None,
    everything: bool,
    whole: bool,
    sort: Sort,
) -> Found:
    repository = asked.repository
    # Versions, never texts: a text could be the path of a file on the server.
    one = repository.version(before, branch or "main")
    other = None if after is None else repository.version(after, branch or "main")
    return repository.diff(one, other, tensor=tensor, everything=everything, whole=whole, sort=sort)
