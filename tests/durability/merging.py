"""A merge in a process of its own, which may die in the middle.

python -m tests.durability.merging REPOSITORY SOURCE INTO [DIE]: DIE is "computing", "putting together" or "saving".
"""

from __future__ import annotations

import os
import sys
from typing import Any

from lepton_ai.history.merging import assemble, compute, run
from lepton_ai.repository import ModelRepository


def main(folder: str, source: str, into: str, die: str = "") -> None:
    places = {
        "computing": (compute, "rounded"),
        "putting together": (assemble.splice, "splice"),
        "saving": (run.changes, "new_version"),
    }
    if die:
        room, name = places[die]
        real, calls = getattr(room, name), [0]

        def dying(*given: Any, **more: Any) -> Any:
            calls[0] += 1
            if calls[0] == 2 or die != "saving":  # the first time it is only tried
                os._exit(9)
            return real(*given, **more)

        setattr(room, name, dying)
    with ModelRepository(folder, create=False, author=into) as repository:
        version = repository.merge_branch(source, into, method="linear")
        print(version.id if version else "")


if __name__ == "__main__":
    main(*sys.argv[1:])
