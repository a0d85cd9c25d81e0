"""Check that everything is what was saved, and say whom a damage touches."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from lepton_ai.errors import LeptonError
from lepton_ai.history import graph, manifest, states
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.lines import Lines
from lepton_ai.history.record import attachments, parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.verify import BASES, STRANDED
from lepton_ai.types import Record

CHUNK = 500
Touch = tuple[str, str, str]


class Damage(msgspec.Struct, frozen=True):
    """One thing that is wrong. ``where`` is a pack, the history, or a version; ``touches`` are (version, file, tensor).

    A tensor of "" means the file as a whole.
    """

    where: str
    problem: str
    touches: tuple[Touch, ...] = ()


class Verdict(msgspec.Struct, frozen=True):
    """What a verification found. ``versions`` and ``packs`` count what was looked at."""

    fast: bool
    versions: int
    packs: int
    bytes: int
    damages: tuple[Damage, ...]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.damages


class Look(NamedTuple):
    """What was seen of one manifest, whichever versions have it.

    ``problem`` is what is wrong beyond the findings; ``hit``: streams ("" the whole) and the findings that touch them.
    """

    problem: str
    hit: tuple[tuple[str, frozenset[int]], ...] = ()


SOUND = Look("")


class Verifier:
    """One verification over one repository; it changes nothing but an index that was wrong.

    What it remembers grows with the damage and the number of distinct files, not with blocks times versions.
    """

    def __init__(self, home: AnyHome, lines: Lines, progress: Progress = SILENT) -> None:
        self._home, self._lines, self._progress = home, lines, progress
        self._history = home.history
        self._looks: dict[bytes, Look] = {}
        self._blame: dict[bytes, set[int]] = {}
        self._touched: list[dict[Touch, None]] = []

    def run(self, *, fast: bool = False) -> Verdict:
        """``fast`` looks at the structure only; otherwise every stored byte is read, opened, decoded and hashed."""
        damages = [Damage("history.db", problem) for problem in self._home.problems()]
        damages += self._refs()
        findings = list(self._home.store.verify(fast=fast, progress=self._progress))
        for number, finding in enumerate(findings):
            self._touched.append({})
            for object_id in finding.lost:
                self._blame.setdefault(object_id, set()).add(number)
        count = 0
        for row, record in self._records(damages):
            count += 1
            damages += self._version(row, record)
        for finding, touched in zip(findings, self._touched, strict=True):
            if finding.problem in (BASES, STRANDED) and not touched:
                continue  # garbage may outlive its bases: a pack goes as a whole, or not yet
            spared = (
                " (nothing is lost: other packs have it too)" if finding.objects and not finding.lost else ""
            )
            damages.append(Damage(f"pack {finding.pack}", finding.problem + spared, tuple(touched)))
        packs = self._home.store.packs()
        return Verdict(fast, count, len(packs), sum(pack.size for pack in packs), tuple(damages))

    def _refs(self) -> Iterator[Damage]:
        """Every branch, tag and alias points at a version that exists."""
        for prefix, kind in (
            ("branch/", states.BranchState),
            ("tag/", states.LabelState),
            ("alias/", states.LabelState),
        ):
            for ref in self._history.scan(prefix):
                try:
                    state = states.decode(kind, ref)
                    target = getattr(state, "head", None) or getattr(state, "version", None)
                    if target is not None:
                        graph.row(self._history, bytes.fromhex(target))
                except LeptonError as problem:
                    yield Damage(ref.key, problem.message)

    def _records(self, damages: list[Damage]) -> Iterator[tuple[VersionRow, Record]]:
        """Every revision whose bytes should be there."""
        before: int | None = None
        while page := self._history.page(before=before, limit=CHUNK):
            before = page[-1][0]
            firsts = [row.id for _, row in page]
            known = self._lines.states(firsts)
            damages += [
                Damage(f"version {f.hex()[:12]}", "its state is missing") for f in firsts if f not in known
            ]
            kept = [first for first, (_, state) in known.items() if state.purged_at is None]
            for rows in self._history.revisions(kept).values():
                for row in rows:
                    try:
                        yield row, parse_record(row.record, row.id)
                    except LeptonError as problem:
                        damages.append(Damage(f"version {row.id.hex()[:12]}", problem.message))

    def _version(self, row: VersionRow, record: Record) -> Iterator[Damage]:
        label = f"{record.branch}@{row.name}" + (f"~{row.revision}" if row.revision > 1 else "")
        parents = self._history.versions(list(row.parents))
        for parent in row.parents:
            if parent not in parents:
                yield Damage(label, f"its parent {parent.hex()[:12]} is missing from the history")
        digests = {entry.path: bytes.fromhex(entry.sha256) for entry in record.files if entry.sha256}
        digests |= {name: bytes.fromhex(attachment.sha256) for name, attachment in attachments(record)}
        contents = self._history.contents(digests.values())
        for path, digest in digests.items():
            whole = ((label, path, ""),)
            if digest not in contents:
                yield Damage(label, f"nothing says where {path} is", whole)
                continue
            look = self._look(contents[digest].manifest)
            for stream, numbers in look.hit:
                for number in numbers:
                    self._touched[number][label, path, stream] = None
            if look.problem:
                yield Damage(label, f"{path}: {look.problem}", whole)

    def _look(self, manifest_id: bytes) -> Look:
        if manifest_id not in self._looks:
            look = self._seen(manifest_id)
            self._looks[manifest_id] = look if look != SOUND else SOUND
        return self._looks[manifest_id]

    def _seen(self, manifest_id: bytes) -> Look:
        blame = self._blame
        whole = frozenset(blame.get(manifest_id, ()))
        try:
            content = manifest.decode(self._home.store.get(manifest_id)).content
        except LeptonError as problem:
            return Look("", (("", whole),)) if whole else Look(problem.message)
        hit = [("", whole)] if whole else []
        touching = ((s.key, frozenset(n for b in s.ids for n in blame.get(b, ()))) for s in content.streams)
        hit += [(key, numbers) for key, numbers in touching if numbers]
        missing = self._home.store.missing(block for s in content.streams for block in s.ids)
        missing.difference_update(blame)
        if self._home.absent is not None:  # it may have left blocks elsewhere
            missing.clear()
        return Look(f"{len(missing)} of its blocks are in no pack" if missing else "", tuple(hit))
