"""What a team's server keeps about its models, made up: the same for the same numbers."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

from lepton_ai.history import states
from lepton_ai.history.record import canonical, timestamp
from lepton_ai.history.refs.contract import ContentRow, VersionRow
from lepton_ai.types import FileEntry, Operation, Record

START = 1_735_689_600_000_000
"""Microseconds: 1 January 2025."""
EVERY = 600_000_000
"""Microseconds between two versions of a repository."""
OPTIMIZERS = ("adam", "adamw", "lion", "sgd", "rmsprop")


def owner_of(number: int) -> str:
    return f"team-{number % 200:03}"


def name_of(number: int) -> str:
    return f"model-{number:05}"


def person(number: int) -> str:
    return f"person-{number:04}"


def sizes(repositories: int, versions: int) -> list[int]:
    """How many versions each repository has: a few have many (Zipf), and none has nothing."""
    weights = [1 / (rank + 1) ** 0.9 for rank in range(repositories)]
    whole = sum(weights)
    counts = [max(1, int(versions * weight / whole)) for weight in weights]
    counts[0] += max(0, versions - sum(counts))
    return counts


@dataclass
class Made:
    """One version with everything that a save of it writes."""

    row: VersionRow
    record: Record
    state: states.VersionState
    content: ContentRow
    pack: str


@dataclass
class Line:
    """A repository's versions one after another, all on `main`."""

    repository: int
    people: int
    uid: str = "0" * 16
    count: int = 0
    last: VersionRow | None = None
    _places: dict[bytes, tuple[int, bytes | None]] = field(default_factory=dict)

    def make(self) -> Made:
        self.count += 1
        rng = random.Random(self.repository * 1_000_003 + self.count)
        at = START + self.count * EVERY + self.repository
        digest = hashlib.sha256(f"file {self.repository} {self.count}".encode()).digest()
        record = Record(
            name=f"v{self.count}",
            branch=self.uid,
            author=person(min(int(rng.expovariate(8 / self.people)), self.people - 1)),
            created_at=timestamp(at),
            operation=Operation("save"),
            files=(FileEntry("model.safetensors", digest.hex(), 400_000_000 + self.count),),
            parents=(self.last.id.hex(),) if self.last else (),
            message=f"epoch {self.count % 90} of run {self.count // 90}",
            metrics={"accuracy": round(rng.betavariate(9, 2), 6), "loss": rng.random(), "f1": rng.random()},
            params={
                "lr": 10 ** rng.uniform(-5, -1), "batch": 2 ** rng.randrange(4, 11), "seed": rng.randrange(10**6),
                "optimizer": rng.choice(OPTIMIZERS), "data": f"set-{rng.randrange(50)}",
            },
        )  # fmt: skip
        plain = canonical(record)
        made = hashlib.sha256(plain).digest()
        depth, jump = self._place()
        parents = (self.last.id,) if self.last else ()
        row = VersionRow(made, made, 1, record.name, self.uid, parents, jump, depth, at, plain)
        self._places[made] = depth, jump
        self.last = row
        state = states.VersionState(made.hex(), 1, at, self.count)
        stored = hashlib.sha256(b"stored " + digest).digest()
        content = ContentRow(digest, 400_000_000 + self.count, 9_000_000, stored)
        return Made(row, record, state, content, hashlib.sha256(b"pack " + digest).hexdigest())

    def branch(self) -> states.BranchState:
        head = self.last.id.hex() if self.last else None
        return states.BranchState(self.uid, head, self.count, START, "person-0000")

    def _place(self) -> tuple[int, bytes | None]:
        """As ``history.graph.place_after``, without asking a database."""
        if self.last is None:
            return 0, None
        if self.last.jump is None:
            return self.last.depth + 1, self.last.id
        middle_depth, middle_jump = self._places[self.last.jump]
        far_id = middle_jump or self.last.jump
        far_depth = self._places[far_id][0]
        if self.last.depth - middle_depth == middle_depth - far_depth:
            return self.last.depth + 1, far_id
        return self.last.depth + 1, self.last.id


def lines(repositories: int, versions: int, people: int) -> Iterator[tuple[Line, int]]:
    """Every repository with the number of its versions, still to be made."""
    for number, count in enumerate(sizes(repositories, versions), 1):
        yield Line(number, people), count
