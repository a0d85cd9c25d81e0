"""Check that everything is what was saved, and say whom a damage touches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from lepton_ai.errors import LeptonError
from lepton_ai.history import graph, manifest, states
from lepton_ai.history.home import Home
from lepton_ai.history.lines import Lines
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.record import parse_record
from lepton_ai.history.refs.contract import VersionRow
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.contract import Stream
from lepton_ai.types import Record

CHUNK = 500
Touched = dict[bytes, list[tuple[str, str, str]]]


@dataclass(frozen=True)
class Damage:
    """One thing that is wrong. ``where`` is a pack, the history, or a version; ``touches`` are (version, file, tensor).

    A tensor of "" means the file as a whole.
    """

    where: str
    problem: str
    touches: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class Verdict:
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


class Verifier:
    """One verification over one repository; it changes nothing."""

    def __init__(self, home: Home, lines: Lines, progress: Progress = SILENT) -> None:
        self._home, self._lines, self._progress = home, lines, progress
        self._history = home.history
        self._manifests: dict[bytes, Manifest] = {}

    def run(self, *, fast: bool = False) -> Verdict:
        """``fast`` looks at the structure only; otherwise every stored byte is read, opened, decoded and hashed."""
        damages = [Damage("history.db", problem) for problem in self._history.integrity()]
        damages += self._refs()
        findings = list(self._home.store.verify(fast=fast, progress=self._progress))
        lost = {object_id for finding in findings for object_id in (*finding.objects, *finding.lost)}
        touched: Touched = defaultdict(list)
        count = 0
        for row, record in self._records(damages):
            count += 1
            damages += self._version(row, record, lost, touched)
        for finding in findings:
            hit = dict.fromkeys(t for o in (*finding.objects, *finding.lost) for t in touched.get(o, ()))
            damages.append(Damage(f"pack {finding.pack}", finding.problem, tuple(hit)))
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

    def _version(
        self, row: VersionRow, record: Record, lost: set[bytes], touched: Touched
    ) -> Iterator[Damage]:
        label = f"{record.branch}@{row.name}" + (f"~{row.revision}" if row.revision > 1 else "")
        parents = self._history.versions(list(row.parents))
        for parent in row.parents:
            if parent not in parents:
                yield Damage(label, f"its parent {parent.hex()[:12]} is missing from the history")
        digests = {entry.path: bytes.fromhex(entry.sha256) for entry in record.files if entry.sha256}
        digests |= {name: bytes.fromhex(digest) for name, digest in _attachments(record)}
        contents = self._history.contents(digests.values())
        for path, digest in digests.items():
            whole = ((label, path, ""),)
            if digest not in contents:
                yield Damage(label, f"nothing says where {path} is", whole)
                continue
            touched[contents[digest].manifest].append(whole[0])
            problem = self._file(label, path, contents[digest].manifest, lost, touched)
            if problem:
                yield Damage(label, f"{path}: {problem}", whole)

    def _file(self, label: str, path: str, manifest_id: bytes, lost: set[bytes], touched: Touched) -> str:
        """Note what the file is made of; what is wrong with it, beyond what is in ``lost``."""
        try:
            content = self._manifest(manifest_id).content
        except LeptonError as problem:
            return "" if manifest_id in lost else problem.message
        for stream in content.streams:
            for block in _blocks(stream):
                touched[block].append((label, path, stream.key))
        missing = self._home.store.missing(block for s in content.streams for block in _blocks(s)) - lost
        return f"{len(missing)} of its blocks are in no pack" if missing else ""

    def _manifest(self, object_id: bytes) -> Manifest:
        if object_id not in self._manifests:
            if len(self._manifests) > 256:
                self._manifests.clear()
            self._manifests[object_id] = manifest.decode(self._home.store.get(object_id))
        return self._manifests[object_id]


def _attachments(record: Record) -> Iterator[tuple[str, str]]:
    if record.training is not None:
        yield "(training history)", record.training.sha256
    if record.code is not None and record.code.patch is not None:
        yield "(code patch)", record.code.patch.sha256
    if record.environment is not None and record.environment.packages is not None:
        yield "(packages)", record.environment.packages.sha256


def _blocks(stream: Stream) -> list[bytes]:
    return [stream.blocks[i : i + 32] for i in range(0, len(stream.blocks), 32)]
