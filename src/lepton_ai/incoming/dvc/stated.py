"""What ``.dvc`` files, ``dvc.lock`` and ``dvc.yaml`` state, each read once per content.

Source: https://doc.dvc.org/user-guide/project-structure (version 3; 1 and 2 differ in what is left out).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import msgspec

from lepton_ai.incoming.values import flat, listed, mapping, parsed


class Out(msgspec.Struct, frozen=True):
    """Something that DVC keeps: a file, or (``md5`` ends in ``.dir``) a folder. ``listing``: relative path, MD5, size.

    ``why``: it cannot be had from a cache at all.
    """

    path: str
    md5: str = ""
    size: int = 0
    executable: bool = False
    listing: tuple[tuple[str, str, int], ...] = ()
    source: str = ""
    why: str = ""


class Stated(msgspec.Struct, frozen=True):
    """What one file states, with paths from the top of the repository. ``deps``: path → MD5 of what stages read.

    ``unread``: why nothing of it can be read.
    """

    outs: tuple[Out, ...] = ()
    deps: tuple[tuple[str, str], ...] = ()
    params: tuple[tuple[str, Any], ...] = ()
    metric_files: tuple[str, ...] = ()
    param_files: tuple[str, ...] = ()
    plots: tuple[str, ...] = ()
    unread: str = ""


NO_MAPPING = "it is no YAML as DVC writes it"


def of_dvc_file(path: str, data: bytes) -> Stated:
    """A ``.dvc`` file: one or more outs; ``deps`` are where ``dvc import`` had it from.

    One that cannot be read (a conflict that was committed, say) stands for the file that it is called after.
    """
    told = mapping(parsed(path, data))
    folder = _joined(_folder(path), told.get("wdir", "."))
    source = next((str(dep.get("path", "")) for dep in map(mapping, listed(told.get("deps")))), "")
    outs = (_out(folder, mapping(out), source) for out in listed(told.get("outs")))
    named = tuple(out for out in outs if out is not None)
    if named:
        return Stated(named)
    return Stated((Out(path.removesuffix(".dvc"), why=f"{path} cannot be read: {NO_MAPPING}"),))


def of_lock(path: str, data: bytes, folders: dict[str, str]) -> Stated:
    """A ``dvc.lock``; ``folders``: stage → where its paths start, when that is not beside the file."""
    told = mapping(whole := parsed(path, data))
    stages = mapping(told.get("stages") if "schema" in told else told)
    outs: list[Out] = []
    deps: list[tuple[str, str]] = []
    params: dict[str, Any] = {}
    for name, written in stages.items():
        folder, stage = folders.get(str(name).partition("@")[0], _folder(path)), mapping(written)
        outs += [o for o in (_out(folder, mapping(out)) for out in listed(stage.get("outs"))) if o]
        read = map(mapping, listed(stage.get("deps")))
        deps += [(_joined(folder, dep.get("path", "")), str(dep.get("md5", ""))) for dep in read]
        for file, values in mapping(stage.get("params")).items():
            beside = PurePosixPath(str(file)).name == "params.yaml"
            params |= {key if beside else f"{file}:{key}": value for key, value in flat(values)}
    return Stated(tuple(outs), tuple(deps), tuple(params.items()), unread=_unread(whole, data))


def of_yaml(path: str, data: bytes) -> tuple[Stated, dict[str, str]]:
    """A ``dvc.yaml``: files of metrics, params and plots; and where the paths of its stages start."""
    told = mapping(whole := parsed(path, data))
    here = _folder(path)
    metrics = [_joined(here, name) for name in _names(told.get("metrics"))]
    params = [_joined(here, name) for name in _names(told.get("params"))]
    plots = [_joined(here, name) for name in _names(told.get("plots"))]
    folders: dict[str, str] = {}
    for name, written in mapping(told.get("stages")).items():
        stage = mapping(mapping(written).get("do")) or mapping(written)
        folder = _joined(here, stage.get("wdir", "."))
        if folder != here and "${" not in folder:
            folders[str(name)] = folder
        metrics += [_joined(folder, metric) for metric in _names(stage.get("metrics"))]
        plots += [_joined(folder, plot) for plot in _names(stage.get("plots"))]
    beside = _joined(here, "params.yaml")
    files = (*params, beside)
    unread = _unread(whole, data)
    return Stated(metric_files=tuple(metrics), param_files=files, plots=tuple(plots), unread=unread), folders


def _unread(told: Any, data: bytes) -> str:
    return "" if isinstance(told, Mapping) or not data.strip() else NO_MAPPING


def _out(folder: str, out: Any, source: str = "") -> Out | None:
    path = out.get("path")
    if not isinstance(path, str) or not path:
        return None
    if "://" in path or path.startswith("/"):
        return Out(path, why="it lies outside of the project")
    files = (mapping(entry) for entry in listed(out.get("files")))
    listing = tuple((str(f.get("relpath", "")), str(f.get("md5", "")), _size(f)) for f in files)
    md5 = out.get("md5")
    why = "" if md5 or listing else "DVC has no checksum of it: it was never committed, or lives in a cloud"
    return Out(
        _joined(folder, path), str(md5 or ""), _size(out), bool(out.get("isexec")), listing, source, why
    )


def _size(told: Any) -> int:
    size = told.get("size")
    return size if isinstance(size, int) else 0


def _names(value: Any) -> Iterator[str]:
    """Names in a list whose members are names, or mappings from a name to its settings."""
    for item in listed(value):
        if isinstance(item, str):
            yield item
        else:
            yield from (str(name) for name in mapping(item))


def _folder(path: str) -> str:
    return PurePosixPath(path).parent.as_posix()


def _joined(folder: str, path: object) -> str:
    """A path from the top, without ``.`` and ``..`` as far as they can be taken away."""
    parts: list[str] = []
    for part in (*PurePosixPath(folder).parts, *PurePosixPath(str(path)).parts):
        if part == ".." and parts:
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts) or "."
