"""Which branches stand on which version: read once, then kept up by what the log says since."""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock

from lepton_ai.history import states
from lepton_ai.history.lines import MAIN
from lepton_ai.history.refs.contract import History, Ref

_PREFIX = "branch/"
_PAGE = 200


class Heads:
    """The heads of a history's branches, as of the last question; thread-safe. Every move of a branch is logged."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = Lock()
        self._number: int | None = None
        self._stands: dict[str, bytes] = {}  # branch → the first revision of what it stands on
        self._on: dict[bytes, set[str]] = {}

    def on(self, firsts: Iterable[bytes]) -> dict[bytes, list[str]]:
        """The living branches on each version (by the id of its first revision), main first, then by name."""
        with self._lock:
            self._keep_up()
            return {
                first: sorted(self._on[first], key=lambda name: (name != MAIN, name))
                for first in firsts
                if first in self._on
            }

    def _keep_up(self) -> None:
        newest = self._history.log(_PREFIX, limit=1)
        number = newest[0].number if newest else 0
        if self._number is None or number < self._number:  # less: the history is another one by now
            self._stands, self._on = {}, {}
            self._enter({ref.key: ref.value for ref in self._history.scan(_PREFIX)})
        elif number > self._number:
            self._enter(self._since(self._number, min(_PAGE, number - self._number)))
        self._number = number

    def _since(self, number: int, size: int) -> dict[str, bytes | None]:
        """Branches that moved after the move ``number``, as they are now; the log is read ``size`` entries at once."""
        found: dict[str, bytes | None] = {}
        before: int | None = None
        while page := self._history.log(_PREFIX, before=before, limit=size):
            for entry in page:
                if entry.number <= number:
                    return found
                found.setdefault(entry.key, entry.after)
            before = page[-1].number
        return found

    def _enter(self, values: dict[str, bytes | None] | dict[str, bytes]) -> None:
        fresh = {key.removeprefix(_PREFIX): _head(key, value) for key, value in values.items()}
        heads = [head for head in fresh.values() if head is not None]
        firsts = {id_: row.first for id_, row in self._history.versions(heads).items()}
        for name, head in fresh.items():
            old = self._stands.pop(name, None)
            if old is not None:
                self._on[old].discard(name)
            if head is not None and head in firsts:
                self._stands[name] = firsts[head]
                self._on.setdefault(firsts[head], set()).add(name)


def _head(key: str, value: bytes | None) -> bytes | None:
    """The head of a living branch."""
    if value is None:
        return None
    state = states.decode(states.BranchState, Ref(key, value, 1))
    return bytes.fromhex(state.head) if state.head and state.deleted is None else None
