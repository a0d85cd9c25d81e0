"""Commits, branches and tags of a git repository."""

from __future__ import annotations

import msgspec

from lepton_ai.errors import UsageError
from lepton_ai.incoming.git.objects import Objects

FORMAT = "%H%n%T%n%P%n%an%n%ae%n%at%n%B"
BRANCHES, REMOTE, TAGS = "refs/heads/", "refs/remotes/origin/", "refs/tags/"


class Commit(msgspec.Struct, frozen=True):
    """A commit. ``created_at``: when its author wrote it, in microseconds since 1970."""

    id: str
    tree: str
    parents: tuple[str, ...]
    author: str
    created_at: int
    message: str


class Tag(msgspec.Struct, frozen=True):
    """A tag, the commit that it names, and what an annotated one says."""

    name: str
    commit: str
    message: str


class Refs(msgspec.Struct, frozen=True):
    """Branches (name → newest commit), which of them is the main one, and tags."""

    branches: dict[str, str]
    main: str
    tags: tuple[Tag, ...]


def commits(objects: Objects, refs: Refs) -> list[Commit]:
    """Every commit that branches and tags reach, parents before children.

    Raises:
        UsageError: git cannot tell them.
    """
    starts = sorted({*refs.branches.values(), *(tag.commit for tag in refs.tags)})
    told = objects.ask(
        "log", "-z", "--topo-order", "--reverse", "--encoding=UTF-8", "--no-show-signature", "--no-color",
        f"--format={FORMAT}", *starts, "--",
    )  # fmt: skip
    return [_commit(text) for text in told.split("\0") if text]


def refs(objects: Objects) -> Refs:
    """Branches and tags. Of a clone, branches of ``origin`` count where it has none of that name itself.

    Raises:
        UsageError: there is no repository, or no commit in it.
    """
    told = objects.ask(
        "for-each-ref", "--format=%(refname)%00%(objectname)%00%(*objectname)%00%(contents:subject)",
        BRANCHES, REMOTE, TAGS,
    )  # fmt: skip
    local: dict[str, str] = {}
    remote: dict[str, str] = {}
    tags: list[Tag] = []
    for line in filter(None, told.split("\n")):  # a subject may have what else ends a line
        name, oid, peeled, subject = line.split("\0")
        if name.startswith(BRANCHES):
            local[name.removeprefix(BRANCHES)] = oid
        elif name.startswith(REMOTE) and name != f"{REMOTE}HEAD":
            remote[name.removeprefix(REMOTE)] = oid
        elif name.startswith(TAGS):
            tags.append(Tag(name.removeprefix(TAGS), peeled or oid, subject if peeled else ""))
    branches = remote | local
    kept = tuple(tag for tag in tags if _is_commit(objects, tag.commit))
    if not branches and not kept:
        raise UsageError(f"the git repository {objects.folder} has no commit", hint="name another one")
    return Refs(branches, _main(objects, branches), kept)


def is_begun(objects: Objects) -> bool:
    """Whether there is any commit that a branch or tag names."""
    return bool(objects.ask("for-each-ref", "--count=1", BRANCHES, REMOTE, TAGS).strip())


def newest_paths(objects: Objects) -> set[str]:
    """Every path in the newest commit of any branch.

    Raises:
        UsageError: there is no commit.
    """
    trees = {objects.ask("rev-parse", f"{id_}^{{tree}}").strip() for id_ in refs(objects).branches.values()}
    return {path for tree in trees for path in objects.files(tree)}


def remote(objects: Objects) -> str:
    """Where it was cloned from; "" when nobody says."""
    try:
        return objects.ask("config", "--get", "remote.origin.url").strip()
    except UsageError:
        return ""


def _main(objects: Objects, branches: dict[str, str]) -> str:
    """The branch that is checked out, unless there is one of a usual name."""
    for usual in ("main", "master"):
        if usual in branches:
            return usual
    head = objects.ask("rev-parse", "--abbrev-ref", "HEAD").strip()
    return head if head in branches else min(branches, default="main")


def _is_commit(objects: Objects, oid: str) -> bool:
    return objects.ask("cat-file", "-t", oid).strip() == "commit"


def _commit(text: str) -> Commit:
    lines = text.lstrip("\n").split("\n", 6)
    name, email = lines[3].strip(), lines[4].strip()
    author = f"{name} <{email}>" if name and email else name or email
    message = lines[6].strip() if len(lines) > 6 else ""
    return Commit(
        lines[0], lines[1], tuple(lines[2].split()), author, int(lines[5] or 0) * 1_000_000, message
    )
