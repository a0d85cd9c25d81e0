"""What splicing takes and gives.

The new elements of a tensor are a Source of their bytes in C order, little-endian, as numpy and ml_dtypes hold them
(elements below a byte take one each). A tensor of a format's own type ("gguf.Q4_K") takes the very bytes that reading
gives. A Source may be asked for any range, again and again; each time it must give the same bytes.

This module imports neither numpy nor anything of a framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from lepton_ai.formats.contract import Source, Tensor


class Described(Protocol):
    """What is known of a file: a reader's Layout, or what a repository keeps of it."""

    @property
    def format(self) -> str:
        """The reader that understood it."""

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Where its tensors sit."""


class Refused(Exception):
    """Some tensors cannot be replaced; ``reasons`` says for each of them why, in words that follow its name."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        first, why = next(iter(self.reasons.items()))
        more = f" (and {len(self.reasons) - 1} more)" if len(self.reasons) > 1 else ""
        super().__init__(f"{first!r} {why}{more}")


class Edit(NamedTuple):
    """The ``length`` bytes at ``offset`` become those of ``new``, which may be more or fewer."""

    offset: int
    length: int
    new: Source


class Plan(Protocol):
    """How the tensors within one run of bytes (a file, or a member of an archive) are replaced."""

    @property
    def refused(self) -> Mapping[str, str]:
        """Tensors that cannot be, each with the reason; known from headers alone."""

    def edits(self, news: Mapping[str, Source]) -> list[Edit]:
        """What becomes of the bytes when the tensors called so get these elements; disjoint, in any order.

        Raises:
            Refused: the elements themselves make it impossible.
        """
