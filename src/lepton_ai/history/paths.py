"""Which paths and link targets a version may have: those that every folder can take, and that never lead out of it."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath

from lepton_ai.errors import UsageError

RESERVED = frozenset({".git", ".lepton"})
"""Folders whose content other programs obey: no version writes there, in whatever case they are written."""
HOPS = 40


def trouble(files: Collection[tuple[str, str | None]]) -> str:
    """Why these files, as (path, link target), cannot be one version; "" when they can."""
    seen: set[str] = set()
    for path, target in files:
        problem = _trouble_of_one(path, target)
        if problem:
            return problem
        if path in seen:
            return f"two files would be called {path!r} in the version"
        seen.add(path)
    for path, _ in files:
        for folder in PurePosixPath(path).parents:
            if str(folder) in seen:
                return f"{str(folder)!r} would be a file and a folder"
    links = {path: target for path, target in files if target is not None}
    for path, target in links.items():
        if follow(path, target, links) is None:
            return f"the link {path!r} leads out of the folder, or in a circle, to {target!r}"
    return ""


def follow(path: str, target: str, links: Mapping[str, str]) -> str | None:
    """The path that a link means in its version ("" the whole of it), part by part; None: it leads out or in a circle.

    ``links`` are the version's links: path → target.
    """
    if target.startswith("/") or not target:
        return None
    here = list(PurePosixPath(path).parts[:-1])
    parts = deque(target.split("/"))
    hops = 0
    while parts:
        part = parts.popleft()
        if part == ".." and not here:
            return None
        if part == "..":
            here.pop()
        elif part not in ("", "."):
            here.append(part)
            onward = links.get("/".join(here))
            if onward is not None:
                hops += 1
                if hops > HOPS or onward.startswith("/"):
                    return None
                here.pop()
                parts.extendleft(reversed(onward.split("/")))
    return "/".join(here)


def folders(paths: Iterable[str]) -> set[str]:
    """Every folder that the files at ``paths`` lie in, "" for the top."""
    return {"" if str(p) == "." else str(p) for path in paths for p in PurePosixPath(path).parents}


def refuse_inside_home(place: Path) -> None:
    """Refuse a place in the private folder of a repository.

    Raises:
        UsageError: it is ``.lepton`` or lies in it.
    """
    real = place.expanduser().resolve()
    for folder in (real, *real.parents):
        if folder.name == ".lepton" and (folder / "config.json").exists():
            raise UsageError(
                f"{place} belongs to the repository itself", hint="name a place outside of .lepton"
            )


def _trouble_of_one(path: str, target: str | None) -> str:
    try:
        (path + (target or "")).encode()
    except UnicodeEncodeError:
        return f"the name {path!r}, or where it links to, is not text that can be kept"
    parts = path.split("/")
    if "\0" in path or "\0" in (target or "") or not {"", ".", ".."}.isdisjoint(parts):
        return f"{path!r} is not the path of a file in a folder; it leaves the folder or is not plain"
    if any(part.casefold() in RESERVED for part in parts):
        return f"{path!r} lies in a folder that belongs to git or to a repository"
    return ""
