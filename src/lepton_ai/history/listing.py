"""Lists for people: versions with what they carry, and logs."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from lepton_ai.history import graph, states
from lepton_ai.history.lines import Branch, Lines
from lepton_ai.history.record import metric_values, parse_record, timestamp
from lepton_ai.history.refs.contract import LogEntry, Ref, VersionRow
from lepton_ai.types import LogLine, Status, VersionInfo

CHUNK = 500
_HEADS = 16
"""Branches that are looked through together."""


def status_of(state: states.VersionState) -> Status:
    """Active, Deleted (restorable) or Purged (its bytes are freed)."""
    if state.purged_at is not None:
        return "Purged"
    return "Deleted" if state.deleted is not None else "Active"


def versions(
    lines: Lines, branch: str | None = None, *, deleted: bool = False, limit: int | None = None
) -> list[VersionInfo]:
    """The newest ``limit`` versions, oldest of them first: of one branch's line, or of all branches."""
    found: list[VersionInfo] = []
    iterator = iter(newest_first(lines, branch, CHUNK if limit is None else min(CHUNK, limit)))
    while limit is None or len(found) < limit:
        size = CHUNK if limit is None else min(CHUNK, limit - len(found))
        chunk = list(islice(iterator, size))
        if not chunk:
            break
        found += [info for info in infos(lines, chunk, branch) if deleted or info.status == "Active"]
    return found[::-1]


def info_of(lines: Lines, row: VersionRow) -> VersionInfo:
    """One version's line; ``row`` is any revision of it."""
    return infos(lines, [row], None)[0]


def log(lines: Lines, prefix: str, *, limit: int | None = None) -> list[LogLine]:
    """Moves, newest first: of one ref ("branch/main"), of a kind of refs ("alias/"), or ("") of all."""
    result: list[LogLine] = []
    before: int | None = None
    while limit is None or len(result) < limit:
        entries = lines.history.log(prefix, before=before, limit=limit or CHUNK)
        if not entries:
            break
        before = entries[-1].number
        one = "/" in prefix and not prefix.endswith("/")
        result += [log_line(entry) for entry in entries if entry.key == prefix or not one]
    return result[:limit]


def newest_first(lines: Lines, branch: str | None, size: int = CHUNK) -> Iterable[VersionRow]:
    """One revision of every version, newest first: on a branch's line, or of all, which are read ``size`` at a time."""
    return _all(lines, size) if branch is None else _of_branch(lines, lines.branch(branch))


def _all(lines: Lines, size: int) -> Iterable[VersionRow]:
    before: int | None = None
    while page := lines.history.page(before=before, limit=size):
        before = page[-1][0]
        yield from (row for _, row in page)


def _of_branch(lines: Lines, branch: Branch) -> Iterable[VersionRow]:
    """The line, newest first, with the versions that it stepped back behind where their time says."""
    aside = sorted(
        lines.history.versions(lines.stepped_back(branch)).values(), key=lambda row: row.created_at
    )
    seen: set[bytes] = set()
    for row in lines.line(branch):
        while aside and aside[-1].created_at > row.created_at:
            extra = aside.pop()
            if extra.first not in seen:
                seen.add(extra.first)
                yield extra
        if row.first not in seen:
            seen.add(row.first)
            yield row
    yield from reversed([row for row in aside if row.first not in seen])


def infos(lines: Lines, rows: list[VersionRow], branch: str | None) -> list[VersionInfo]:
    """The versions' lines, in this order; ``branch`` is shown for each of them (None: the one it belongs to)."""
    known = lines.states([row.first for row in rows])
    newest = lines.history.versions([bytes.fromhex(state.newest) for _, state in known.values()])
    firsts = lines.history.versions([row.first for row in rows])
    branches = _branch_names(lines, rows, branch)
    records = {
        row.first: parse_record(newest[_newest(known, row)].record, _newest(known, row)) for row in rows
    }
    digests = {bytes.fromhex(f.sha256) for record in records.values() for f in record.files if f.sha256}
    contents = lines.history.contents(digests)
    result = []
    for row in rows:
        state, record = known[row.first][1], records[row.first]
        sizes = [contents.get(bytes.fromhex(f.sha256)) for f in record.files if f.sha256]
        result.append(
            VersionInfo(
                name=row.name,
                id=state.newest,
                branch=branches[row.branch, row.first],
                status=status_of(state),
                created_at=timestamp(firsts[row.first].created_at),
                updated_at=timestamp(state.updated_at),
                author=record.author,
                message=record.message,
                metrics=metric_values(record.metrics),
                revision=state.revisions,
                raw_bytes=sum(f.size for f in record.files),
                stored_bytes=sum(content.stored for content in sizes if content is not None),
            )
        )
    return result


def _newest(known: dict[bytes, tuple[Ref, states.VersionState]], row: VersionRow) -> bytes:
    return bytes.fromhex(known[row.first][1].newest)


def _branch_names(lines: Lines, rows: list[VersionRow], branch: str | None) -> dict[tuple[str, bytes], str]:
    """The branch to show for each version: its own; when that is gone, a living one whose line it is on."""
    if branch is not None:
        return {(row.branch, row.first): branch for row in rows}
    own = made_on(lines, rows)
    living = _living(lines, own)
    result = {(row.branch, row.first): own.get(row.branch, "?") for row in rows}
    left = [row for row in rows if row.branch not in living]
    heads = [(branch.name, branch.head) for branch in lines.branches() if branch.head] if left else []
    while heads and left:
        some, heads = heads[:_HEADS], heads[_HEADS:]
        found = _on_lines(lines, left, some)
        result |= {(row.branch, row.first): name for row in left for name in found.get(row.first, ())[:1]}
        left = [row for row in left if row.first not in found]
    return result


def _on_lines(lines: Lines, rows: list[VersionRow], heads: list[tuple[str, bytes]]) -> dict[bytes, list[str]]:
    """The names of the branches (name, head) on whose lines the versions are, by first revision."""
    known = lines.history.versions([head for _, head in heads])
    pairs = [(name, graph.there(known, head), row) for row in rows for name, head in heads]
    places = graph.ancestors_at(lines.history, [(head, row.depth) for _, head, row in pairs])
    found: dict[bytes, list[str]] = {}
    for (name, _, row), place in zip(pairs, places, strict=True):
        if place is not None and place.first == row.first:
            found.setdefault(row.first, []).append(name)
    return found


def _living(lines: Lines, names: dict[str, str]) -> set[str]:
    """Of branches (lasting identity → name) those that are not deleted."""
    refs = lines.history.get([f"branch/{name}" for name in set(names.values())])
    branches = [states.decode(states.BranchState, ref) for ref in refs.values()]
    return {branch.uid for branch in branches if branch.deleted is None}


def made_on(lines: Lines, rows: list[VersionRow]) -> dict[str, str]:
    """The names, as of now, of the branches that the versions were made on, by the branches' lasting identities."""
    refs = lines.history.get([f"line/{uid}" for uid in {row.branch for row in rows}])
    return {key.removeprefix("line/"): states.decode(states.LineState, ref).name for key, ref in refs.items()}


def log_line(entry: LogEntry) -> LogLine:
    """A move as people read it."""
    return LogLine(
        ref=entry.key,
        at=timestamp(entry.at),
        actor=entry.actor,
        act=entry.act,
        why=entry.why,
        before=_target(entry.key, entry.before),
        after=_target(entry.key, entry.after),
    )


def _target(key: str, value: bytes | None) -> str | None:
    """The version id that a logged value points at."""
    if value is None:
        return None
    ref = Ref(key, value, 1)
    if key.startswith("branch/"):
        return states.decode(states.BranchState, ref).head
    if key.startswith(("tag/", "alias/")):
        return states.decode(states.LabelState, ref).version
    if key.startswith("version/"):
        return states.decode(states.VersionState, ref).newest
    return None
