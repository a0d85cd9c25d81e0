"""A history without files, for the rules of names, branches, deletion and labels."""

from __future__ import annotations

from itertools import count

from lepton_ai.history import states
from lepton_ai.history.changes import branches, deletion, labels, saving
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.lines import MAIN, Found, Lines
from lepton_ai.history.refs.contract import ABSENT, Commit, History, Move, VersionRow
from lepton_ai.history.refs.memory import MemoryHistory
from lepton_ai.types import FileEntry, Operation, Record


class World:
    """Versions that carry one number as their content."""

    def __init__(self, history: History | None = None) -> None:
        self.history = history or MemoryHistory()
        self.lines = Lines(self.history)
        self.clock = count(1_700_000_000_000_000, 1_000_000)
        state = states.BranchState("0" * 16)
        moves = (
            Move(f"branch/{MAIN}", ABSENT, states.encode(state)),
            Move(f"line/{state.uid}", ABSENT, states.encode(states.LineState(MAIN))),
        )
        self.history.commit(Commit("test", "create repository", moves=moves))

    def act(self, why: str = "") -> Act:
        return Act("anna", next(self.clock), why)

    def draft(self, content: int = 0, kind: str = "save") -> saving.Draft:
        entry = FileEntry("model.bin", f"{content:064x}", 1)
        return saving.Draft(Record("", "", "", "", Operation(kind), (entry,)))

    def save(self, branch: str = MAIN, content: int = 0, **more: object) -> VersionRow:
        return attempt(
            self.history,
            lambda: saving.new_version(self.lines, branch, self.draft(content), self.act(), **more),  # type: ignore[arg-type]
        )

    def update(self, address: str, content: int, branch: str = MAIN) -> VersionRow:
        first = self.find(address, branch).row.first
        return attempt(
            self.history,
            lambda: saving.new_revision(self.lines, first, self.draft(content, "update"), self.act()),
        )

    def branch(self, name: str, base: str | None = None, **more: object) -> str:
        return attempt(
            self.history,
            lambda: branches.create(
                self.lines,
                name,
                self.act(),
                base=self.find(base) if base else None,
                **more,  # type: ignore[arg-type]
            ),
        )

    def delete(self, address: str, branch: str = MAIN, why: str = "") -> None:
        first = self.find(address, branch, deleted=True).row.first
        attempt(self.history, lambda: deletion.delete(self.lines, first, self.act(why)))

    def restore(self, address: str, branch: str = MAIN) -> None:
        vid = self.find(address, branch, deleted=True).row.id
        attempt(self.history, lambda: deletion.restore(self.lines, self.lines.version(vid), self.act()))

    def merge(self, source: str, into: str = MAIN) -> VersionRow | None:
        return attempt(self.history, lambda: saving.merge(self.lines, source, into, self.act()))

    def delete_branch(self, name: str) -> list[str]:
        return attempt(self.history, lambda: branches.delete(self.lines, name, self.act()))

    def restore_branch(self, name: str) -> str:
        return attempt(self.history, lambda: branches.restore(self.lines, name, self.act()))

    def rename(self, old: str, new: str) -> str:
        return attempt(self.history, lambda: branches.rename(self.lines, old, new, self.act()))

    def label(self, kind: labels.Kind, name: str, address: str) -> None:
        attempt(self.history, lambda: labels.put(self.lines, kind, name, self.find(address), self.act()))

    def unlabel(self, kind: labels.Kind, name: str) -> None:
        attempt(self.history, lambda: labels.remove(self.lines, kind, name, self.act()))

    def find(self, address: str, branch: str = MAIN, *, deleted: bool = False) -> Found:
        return self.lines.resolve(address, branch, deleted=deleted)

    def content(self, address: str, branch: str = MAIN) -> int:
        return int(self.find(address, branch).record.files[0].sha256, 16)

    def head(self, branch: str = MAIN) -> str | None:
        head = self.lines.branch(branch).head
        return self.lines.version(head).row.name if head else None
