"""Names of tensors that a reader makes up itself, out of the places where they are."""

from __future__ import annotations

from lepton_ai.formats.checks import clean_name, most_tensors
from lepton_ai.formats.contract import Malformed

MOST = 300_000


class Names:
    """Hands out names, none of them twice, and not more of them than a file of ``size`` bytes can need."""

    def __init__(self, size: int) -> None:
        self._taken: dict[str, int] = {}
        self._letters = 16 * size + (1 << 20)
        self._most = min(MOST, most_tensors(size))

    def unique(self, name: str) -> str:
        """The name, or ``name~2``, ``name~3`` … when it is taken; "unnamed" for none.

        Raises:
            Malformed: nobody can be called so, or the names together are far longer than the file (what is nested
                repeats the names of all that it is in).
        """
        chosen = name = name or "unnamed"
        while chosen in self._taken:
            self._taken[name] += 1
            chosen = f"{name}~{self._taken[name]}"
        self._taken[clean_name(chosen)] = 1
        self._letters -= len(chosen)
        if self._letters < 0 or len(self._taken) > self._most:
            raise Malformed("more names than such a file can need")
        return chosen
