"""What people should not forget: merges that wait for them."""

from __future__ import annotations

from lepton_ai.cli.output import plural
from lepton_ai.repository import ModelRepository


def reminders(repository: ModelRepository) -> list[str]:
    """A line for each merge in progress: what waits, and how to go on."""
    found = []
    merges = repository.merges_in_progress()
    for merge in merges:
        into = f" --into {merge.branch}" if len(merges) > 1 else ""
        left = len(merge.open)
        waits = f"waits for {plural(left, 'decision')}: lepton conflicts{into}"
        found.append(
            f"a merge is in progress ({merge.said}); it "
            + (waits if left else f"can be finished: lepton merge --continue{into}")
        )
    return found
