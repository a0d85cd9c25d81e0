"""What chance decides about an element, by its position: the same in any part, any order, and any thread.

Philox is a function from a key and a counter to random bits, so that the bits of position p can be had without those
before it. The key is a digest of the seed, the tensor's name and the model's number; every position has 32 bits.

Source: Salmon et al., Parallel random numbers: as easy as 1, 2, 3, 2011, https://doi.org/10.1145/2063384.2063405
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_ai.history.merges.contract import Case

_STEP = 8
"""Positions that one step of the counter serves."""


class Chance:
    """The random numbers of one model's tensor."""

    def __init__(self, case: Case, index: int) -> None:
        text = f"{case.seed}\0{index}\0{case.name}".encode("utf-8", "surrogatepass")
        self._key = int.from_bytes(hashlib.sha256(text).digest()[:16], "little")

    def numbers(self, start: int, stop: int) -> Any:
        """An unsigned 32-bit number for each of the positions ``start … stop``, every number equally likely."""
        import numpy as np

        step = start // _STEP
        stream = np.random.Philox(key=self._key, counter=step)
        some = stream.random_raw((stop - step * _STEP + 1) // 2).astype("<u8", copy=False).view("<u4")
        return some[start - step * _STEP : stop - step * _STEP]

    def kept(self, start: int, stop: int, share: float) -> Any:
        """For each position whether it is kept, each with the probability ``share``."""
        import numpy as np

        return np.less(self.numbers(start, stop), min(round(share * 2**32), 2**32 - 1))
