"""Apply a computed commit; compute it anew when somebody else was faster."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Generic, TypeVar

import msgspec

from lepton_ai.errors import Busy, LostRace
from lepton_ai.history.refs.contract import Commit, History

T = TypeVar("T")
PATIENCE = 60.0
"""Seconds after which a commit that loses every race gives up."""


class Act(msgspec.Struct, frozen=True):
    """Who acts, why, and when (microseconds since 1970)."""

    actor: str
    at: int
    why: str = ""


class Result(msgspec.Struct, Generic[T], frozen=True):
    """A commit to make (None: nothing to do) and what the caller gets once it is made."""

    commit: Commit | None
    value: T


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def attempt(history: History, build: Callable[[], Result[T]]) -> T:
    """Build a commit and apply it; build it again from fresh values whenever a compare-and-set is lost.

    Who must build upon a certain head compares it in ``build``: the set was perhaps lost to a tag or a new branch.

    Raises:
        Busy: it lost for a minute on end.
        Everything that ``build`` raises.
    """
    deadline = time.monotonic() + PATIENCE
    wait = 0.001
    while True:
        result = build()
        if result.commit is None:
            return result.value
        try:
            history.commit(result.commit)
        except LostRace as lost:
            if time.monotonic() > deadline:
                raise Busy(
                    "others kept changing the repository for a minute", hint="try again later"
                ) from lost
            time.sleep(random.uniform(0, wait))  # noqa: S311  (spreads retries, keeps no secret)
            wait = min(wait * 2, 0.2)
        else:
            return result.value
