"""What the three methods that take one side share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case, Parameter, Part


class Take(msgspec.Struct, frozen=True):
    """The elements of one parent, bit for bit. ``takes`` names it; theirs is the second model."""

    name: str
    takes: str
    line: str
    source: str = ""
    parameters: tuple[Parameter, ...] = ()
    aids: tuple[str, ...] = ()

    @property
    def needs_base(self) -> bool:
        """Whether it is the base that is taken."""
        return self.takes == "base"

    @property
    def models(self) -> tuple[int, int | None]:
        """Theirs is there from two models on."""
        return (2 if self.takes == "theirs" else 1), None

    def objection(self, _case: Case) -> str:
        """Nothing."""
        return ""

    def prepare(self, case: Case) -> Part:
        """Nothing to measure."""
        parent = case.base if self.takes == "base" else case.models[self.takes == "theirs"]
        if parent is None:
            raise ValueError("prepared without the base that it takes")
        return parent.part
