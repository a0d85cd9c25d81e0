"""Tags and aliases of one end, given to the other: what changed here since both were compared, and only that."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

import msgspec

from lepton_ai.client.remotes import Remote
from lepton_ai.client.sync.ends import End
from lepton_ai.errors import ConflictError, UsageError
from lepton_ai.history import states
from lepton_ai.history.changes import labels
from lepton_ai.history.changes.attempt import Act, attempt
from lepton_ai.history.refs.contract import Ref


class Passed(msgspec.Struct, frozen=True):
    """What became of labels: those that were set or removed at the target, and why others were not."""

    done: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def every(end: End) -> dict[str, Ref]:
    """All tags and aliases, by their keys."""
    return {ref.key: ref for prefix in ("tag/", "alias/") for ref in end.history.scan(prefix)}


def pass_on(source: End, target: End, seen: Mapping[str, bytes], act: Act) -> Passed:
    """Set at ``target`` what was set at ``source`` since; ``seen`` is what both had when they were compared.

    A label that was changed at both ends stays at each as it is. Versions that the target lacks are not named there.
    """
    ours, theirs = every(source), every(target)
    known = _known(target, ours.values())
    done, notes = [], []
    for key in sorted(ours.keys() | seen.keys()):
        own, other, before = meant(ours.get(key)), meant(theirs.get(key)), _label(key, seen.get(key))
        if own in (other, before) or (own is not None and own not in known):
            continue
        kind, _, name = key.partition("/")
        if other != before:
            notes.append(f"{kind} {name!r} was changed in {target.home.named} too: it stays as it is there")
            continue
        try:
            _set(target, kind, name, own, act)  # type: ignore[arg-type]  # the prefix of its key
        except (UsageError, ConflictError) as problem:
            notes.append(f"{kind} {name!r} stays as it is in {target.home.named}: {problem}")
            continue
        done.append(key)
    return Passed(tuple(done), tuple(notes))


def _set(target: End, kind: Literal["tag", "alias"], name: str, version: str | None, act: Act) -> None:
    lines = target.lines
    if version is None:
        attempt(target.history, lambda: labels.remove(lines, kind, name, act))
        return
    id_ = bytes.fromhex(version)
    attempt(target.history, lambda: labels.put(lines, kind, name, lines.version(id_), act))


def _known(target: End, refs: Iterable[Ref]) -> set[str]:
    """The versions among those that are named which the target has."""
    return {id_.hex() for id_ in target.known([labels.target(ref) for ref in refs])}


def meant(ref: Ref | None) -> str | None:
    """The id of the version that a label means."""
    return states.decode(states.LabelState, ref).version if ref is not None else None


def _label(key: str, value: bytes | None) -> str | None:
    return meant(Ref(key, value, 1)) if value is not None else None


def last_seen(ours: End, remote: Remote) -> dict[str, bytes]:
    """Tags and aliases as both ends had them when they were last compared."""
    prefix = remote.key("")
    found = {ref.key.removeprefix(prefix): ref.value for ref in ours.history.scan(prefix)}
    return {key: value for key, value in found.items() if not key.startswith("branch/")}
