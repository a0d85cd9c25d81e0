"""The remotes of a repository: names for other places of it, and what was last seen there."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
from msgspec.structs import replace

from lepton_ai.client import address
from lepton_ai.errors import AlreadyExists, Ambiguous, InvalidName, NotFound
from lepton_ai.history import home as homes
from lepton_ai.history import states
from lepton_ai.history.changes.attempt import Act, Result, attempt
from lepton_ai.history.refs.contract import Commit, History, Move, Ref
from lepton_ai.history.states import RemoteState

ORIGIN = "origin"
"""How the place is called that a repository was cloned from."""
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,63}")


class Remote(msgspec.Struct, frozen=True):
    """A remote as read."""

    name: str
    ref: Ref
    state: RemoteState

    @property
    def url(self) -> str:
        """Its address or folder."""
        return self.state.url

    def key(self, of: str) -> str:
        """Where it is kept what ``of`` (``branch/main``) was there when it was last seen."""
        return f"remote/{self.name}/{of}"


def located(url: str | Path) -> str:
    """An address or folder in its one form.

    Raises:
        UsageError: it is neither.
    """
    if homes.is_address(url):
        return str(address.parse(str(url)))
    return str(homes.located(url))


def add(history: History, name: str, url: str | Path, act: Act) -> Remote:
    """Call another place of this repository ``name``.

    Raises:
        AlreadyExists: there is a remote of this name. InvalidName. UsageError: ``url`` is no place.
    """
    if not _NAME.fullmatch(name) or ".." in name:
        raise InvalidName(f"{name!r} cannot name a remote", hint="use letters, digits, '.', '_' and '-'")
    state = RemoteState(located(url))

    def build() -> Result[None]:
        ref = history.get([f"remote/{name}"]).get(f"remote/{name}")
        if ref is not None:
            raise AlreadyExists(
                f"there is a remote {name!r} already: {states.decode(RemoteState, ref).url}",
                hint=f"lepton remote remove {name}, or choose another name",
            )
        move = states.set_(f"remote/{name}", None, state)
        return Result(Commit(act.actor, "add remote", act.why, act.at, (move,)), None)

    attempt(history, build)
    return find(history, name)


def remove(history: History, name: str, act: Act) -> None:
    """Forget a remote and what was seen there; the place itself stays as it is.

    Raises:
        NotFound: there is none of this name.
    """

    def build() -> Result[None]:
        remote = find(history, name)
        seen = [replace(states.clear(ref), logged=False) for ref in history.scan(f"remote/{name}/")]
        moves = (states.clear(remote.ref), *seen)
        return Result(Commit(act.actor, "remove remote", act.why, act.at, moves), None)

    attempt(history, build)


def every(history: History) -> list[Remote]:
    """All remotes, by name."""
    return [
        Remote(name, ref, states.decode(RemoteState, ref))
        for ref in history.scan("remote/")
        if "/" not in (name := ref.key.removeprefix("remote/"))
    ]


def find(history: History, name: str | None = None) -> Remote:
    """The remote called ``name``; without a name the only one, or the one called origin.

    Raises:
        NotFound, Ambiguous.
    """
    known = every(history)
    if name is not None:
        found = next((remote for remote in known if remote.name == name), None)
        if found is None:
            there = ", ".join(remote.name for remote in known)
            hint = f"there are: {there}" if there else f"lepton remote add {name} URL"
            raise NotFound(f"there is no remote {name!r}", hint=hint)
        return found
    if not known:
        raise NotFound("this repository has no remote", hint=f"lepton remote add {ORIGIN} URL")
    if len(known) == 1:
        return known[0]
    for remote in known:
        if remote.name == ORIGIN:
            return remote
    raise Ambiguous(
        f"there are several remotes: {', '.join(remote.name for remote in known)}", hint="name one of them"
    )


def remember(
    history: History, remote: Remote, seen: dict[str, bytes | None], act: Act, ours: int, theirs: int
) -> None:
    """Keep what was seen at a remote: refs by their keys there (None: gone), and how far both logs were read."""

    def build() -> Result[None]:
        keys = {remote.key(key): value for key, value in seen.items()}
        there = history.get([f"remote/{remote.name}", *keys])
        own = there.get(f"remote/{remote.name}")
        if own is None:  # removed meanwhile
            return Result(None, None)
        state = replace(states.decode(RemoteState, own), ours=ours, theirs=theirs)
        moves = [_unlogged(f"remote/{remote.name}", own, states.encode(state))]
        moves += [_unlogged(key, there.get(key), value) for key, value in keys.items()]
        changed = tuple(move for move in moves if move is not None)
        return Result(Commit(act.actor, "see remote", at=act.at, moves=changed) if changed else None, None)

    attempt(history, build)


def _unlogged(key: str, ref: Ref | None, value: bytes | None) -> Move | None:
    if (ref.value if ref else None) == value:
        return None
    return Move(key, ref.stamp if ref else 0, value, logged=False)
