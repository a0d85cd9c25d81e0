"""Merging the record of the code: the descendant commit wins, diverged ones are for people to decide.

With ``--with-code`` git merges the commits itself, beside the checkout, which follows in the end: :func:`joined`.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import msgspec

from lepton_ai.errors import Diverged, StorageFailed, UsageError
from lepton_ai.types import Code

GIT_TIMEOUT = 120.0
"""Seconds; merging a large checkout may take a while."""

REF = "refs/lepton/merged-code"
"""Names the merged commit until the checkout stands on it."""

_COMMIT = re.compile(r"[0-9a-f]{40,64}")
Ancestry = Callable[[str, str], bool | None]
"""Whether the first commit is the second or an ancestor of it; None: nobody here knows both."""

_BY_HAND = "merge the code by hand with git, then merge without --with-code"

Outcome = Literal["same", "ours", "theirs", "diverged", "unknown"]


class MergedCode(msgspec.Struct, frozen=True):
    """Which code record the merged version gets. ``said`` explains a conflict in one line for people.

    "diverged" and "unknown" (no checkout here has both commits) are conflicts; until somebody decides, ours stands.
    """

    code: Code | None
    outcome: Outcome
    said: str = ""

    @property
    def clean(self) -> bool:
        """Whether nothing is left to decide."""
        return self.outcome not in ("diverged", "unknown")


def merge(base: Code | None, ours: Code | None, theirs: Code | None, ancestry: Ancestry) -> MergedCode:
    """The code of a merge. A side that says nothing, or that has not changed since the base, gives way.

    Uncommitted changes belong to no commit: a side with some of its own gives way only to the same commit with others
    when it has none, never to a later commit.
    """
    if ours is None or theirs is None:
        return MergedCode(ours or theirs, "same" if ours == theirs else "ours" if ours else "theirs")
    mine, its, old = (_state(code) for code in (ours, theirs, base))
    if mine == its:
        return MergedCode(ours, "same")
    if _within(ours, theirs, ancestry):
        return MergedCode(theirs, "theirs")
    if _within(theirs, ours, ancestry):
        return MergedCode(ours, "ours")
    if old in (mine, its):
        return MergedCode(theirs, "theirs") if mine == old else MergedCode(ours, "ours")
    return _conflict(ours, theirs, ancestry)


def _state(code: Code | None) -> tuple[str, str]:
    """What tells one state of the code from another; uncommitted changes that were not kept are told by "?"."""
    if code is None:
        return "", ""
    return code.commit, code.patch.sha256 if code.patch is not None else "?" if code.dirty else ""


def _within(older: Code, newer: Code, ancestry: Ancestry) -> bool:
    return not older.dirty and ancestry(older.commit, newer.commit) is True


def _conflict(ours: Code, theirs: Code, ancestry: Ancestry) -> MergedCode:
    names = f"{_name(ours)} and {_name(theirs)}"
    if (
        ours.commit == theirs.commit
        or ancestry(ours.commit, theirs.commit)
        or ancestry(theirs.commit, ours.commit)
    ):
        return MergedCode(
            ours, "diverged", f"{names}: the uncommitted changes of a side are not in the other"
        )
    if ancestry(ours.commit, theirs.commit) is None:
        return MergedCode(
            ours, "unknown", f"{names}: no checkout here has both, so which is newer is not known"
        )
    return MergedCode(ours, "diverged", f"{names} went different ways")


def _name(code: Code) -> str:
    return f"{code.commit[:12]}{' with uncommitted changes' if code.dirty else ''}"


def ancestry_in(checkout: Path) -> Ancestry:
    """Ask git in ``checkout``; without git, a checkout or one of the commits the answer is None."""

    def ask(older: str, newer: str) -> bool | None:
        if older == newer:
            return True
        if not (_COMMIT.fullmatch(older) and _COMMIT.fullmatch(newer)):
            return None  # a record says so; git would take it for an option or a branch
        done = _git(checkout, "merge-base", "--is-ancestor", older, newer)
        return {0: True, 1: False}.get(done.returncode) if done is not None else None

    return ask


@contextmanager
def joined(checkout: Path, ours: Code, theirs: Code, message: str) -> Iterator[str]:
    """The commit that merges that of theirs into what the checkout stands on: ours, or later.

    The checkout is not touched: it is to :func:`follow` when what names the commit is durable. Until then a ref of its
    own keeps git from clearing the commit away; when the block raises, that goes. A killed program leaves no more
    than the ref, and the next one takes it over.

    Raises:
        UsageError: there is no such checkout, it has uncommitted changes, or stands elsewhere.
        Diverged: git finds conflicts. StorageFailed: git fails otherwise.
    """
    head = check_checkout(checkout, ours, theirs)
    known = ancestry_in(checkout)
    if known(theirs.commit, head):
        commit = head
    elif known(head, theirs.commit):
        commit = theirs.commit
    else:
        tree = _said(checkout, "merge-tree", "--write-tree", "--no-messages", head, theirs.commit)
        signed = _git(checkout, "config", "--type=bool", "commit.gpgsign")
        sign = ["-S"] if signed is not None and signed.stdout.strip() == b"true" else []
        parents = "-p", head, "-p", theirs.commit
        commit = _said(checkout, "commit-tree", tree, *parents, *sign, "-m", message)
    _said(
        checkout, "read-tree", "--dry-run", "-m", "-u", head, commit
    )  # a file that git does not know is in the way
    _said(checkout, "update-ref", REF, commit)
    try:
        yield commit
    except BaseException:
        _git(checkout, "update-ref", "-d", REF, commit)
        raise


def follow(checkout: Path, commit: str) -> str:
    """Move the checkout to a commit that is :func:`joined`; what is to be said when it cannot, else nothing."""
    done = _git(checkout, "merge", "--ff-only", commit)
    if done is not None and not done.returncode:
        _git(checkout, "update-ref", "-d", REF, commit)
        return ""
    return f"the checkout stays where it was ({_why(done)}): git merge --ff-only {commit[:12]} brings the code there"


def check_checkout(checkout: Path, ours: Code, theirs: Code) -> str:
    """Find out, changing nothing, whether :func:`joined` will succeed; the commit that it stands on.

    Raises:
        UsageError, Diverged: as there.
    """
    status = _git(checkout, "status", "--porcelain=v1", "--untracked-files=no")
    if status is None or status.returncode:
        raise UsageError(
            f"there is no git checkout in {checkout}", hint="run it where the code is checked out"
        )
    if status.stdout.strip():
        raise UsageError(
            f"the checkout in {checkout} has uncommitted changes", hint="commit or stash them first"
        )
    known = ancestry_in(checkout)
    head = _head(checkout)
    if not known(ours.commit, head):
        raise UsageError(
            f"the checkout stands on {head[:12]}, which does not contain {ours.commit[:12]}, the code of ours",
            hint=f"git switch to a branch that has it, or git switch --detach {ours.commit[:12]}",
        )
    if known(theirs.commit, head) is None:
        raise UsageError(
            f"the checkout has no commit {theirs.commit[:12]}, the code of theirs", hint="git fetch it first"
        )
    tried = _git(checkout, "merge-tree", "--write-tree", "--name-only", "--no-messages", head, theirs.commit)
    if tried is not None and tried.returncode == 1:
        files = tried.stdout.decode("utf-8", "replace").splitlines()[1:]
        raise Diverged(
            f"git finds conflicts in {', '.join(dict.fromkeys(files))}",
            hint=_BY_HAND,
        )
    if tried is None or tried.returncode:  # before 2.38 it cannot merge beside the checkout
        raise StorageFailed(f"git cannot merge this: {_why(tried)}", hint=f"git 2.38 or newer; or {_BY_HAND}")
    return head


def _head(checkout: Path) -> str:
    done = _git(checkout, "rev-parse", "HEAD")
    if done is None or done.returncode:
        raise UsageError(f"the checkout in {checkout} has no commit yet", hint="commit the code first")
    return done.stdout.decode().strip()


def _said(checkout: Path, *arguments: str) -> str:
    done = _git(checkout, *arguments)
    if done is None or done.returncode:
        raise StorageFailed(
            f"git {arguments[0]} failed: {_why(done)}", hint="mend that, or merge without the code"
        )
    return done.stdout.decode().strip()


def _why(done: subprocess.CompletedProcess[bytes] | None) -> str:
    if done is None:
        return "it took too long"
    return (done.stderr or done.stdout).decode("utf-8", "replace").strip()


def _git(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[bytes] | None:
    """None: no git here, or it took too long."""
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(checkout), *arguments]
    try:
        return subprocess.run(command, capture_output=True, timeout=GIT_TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
