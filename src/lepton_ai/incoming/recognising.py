"""What a place is, by what lies there."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from lepton_ai.errors import NotFound, UsageError
from lepton_ai.incoming.contract import KINDS, Kind, Source
from lepton_ai.incoming.dvc.content import DvcContent
from lepton_ai.incoming.git.commits import is_begun, newest_paths
from lepton_ai.incoming.git.objects import Objects
from lepton_ai.incoming.git.told import GitSource, plain_paths
from lepton_ai.incoming.huggingface.folder import looks_like_model
from lepton_ai.incoming.huggingface.opening import is_cache, open_huggingface
from lepton_ai.incoming.lfs import LfsContent
from lepton_ai.incoming.mlflow.source import is_store, open_mlflow

SUPPORTED = (
    "a bundle of lepton export, a git repository with DVC or git-lfs, an MLflow store, "
    "a Hugging Face cache or folder"
)
_FAR = ("http://", "https://", "s3://", "gs://", "az://", "hf://", "databricks", "ssh://", "git@")
_DATABASE = "sqlite://"


def recognise(place: str) -> Kind | Literal["bundle"]:
    """What kind of source is at ``place``.

    Raises:
        NotFound: nothing is there. UsageError: nothing that can be imported, or it is far away.
    """
    if place.startswith(_DATABASE):
        return "mlflow"
    folder = _near(place)
    if folder.is_file():
        return "mlflow" if is_store(folder) else "bundle"
    found = _of_folder(folder)
    if found is None:
        raise UsageError(f"nothing in {place} is a source that is known", hint=f"known are {SUPPORTED}")
    return found


def _of_folder(folder: Path) -> Kind | None:
    if is_cache(folder):
        return "huggingface"
    top, dvc = _in_git(folder)
    if top == folder.resolve() and dvc:
        return "dvc"  # also with an mlruns folder in it
    if is_store(folder):
        return "mlflow"
    if top != folder.resolve() and looks_like_model(folder):
        return "huggingface"  # also in a project that is in git
    if top is None:
        return None
    return "dvc" if dvc else "git-lfs"


def _in_git(folder: Path) -> tuple[Path | None, bool]:
    """The top of the git repository that a folder is in, and whether DVC is used there."""
    try:
        objects = Objects(folder)
        top = _top(objects)
    except NotFound:
        return None, False  # without git, only what is in no repository can be recognised
    try:
        if top is None or not is_begun(objects):
            return None, False
        dvc = any(path.endswith((".dvc/config", ".dvc", "dvc.yaml")) for path in newest_paths(objects))
        return top.resolve(), dvc
    finally:
        objects.close()


def open_source(
    place: str,
    kind: str | None = None,
    *,
    model: str | None = None,
    paths: Sequence[str] = (),
    objects: Sequence[Path] = (),
) -> Source:
    """Open the source at ``place``, a folder or ``sqlite:///FILE``; ``kind`` when it cannot tell itself.

    ``model``: which of an MLflow registry. ``paths``: the only ones of a git repository. ``objects``: further folders
    with bytes (a DVC cache, LFS objects, a store of artifacts).

    Raises:
        NotFound, UsageError.
    """
    found = kind or recognise(place)
    if found not in KINDS:
        raise UsageError(f"{found!r} is no kind of source", hint="it is one of " + ", ".join(KINDS))
    if model is not None and found != "mlflow":
        raise UsageError("only an MLflow registry has several models", hint="leave out --model")
    if paths and found not in ("dvc", "git-lfs"):
        raise UsageError("paths are chosen in git repositories only", hint="leave out --path")
    if found == "mlflow":
        return open_mlflow(place, model, objects)
    folder = _near(place)
    if found == "huggingface":
        return open_huggingface(folder)
    return _git(folder, found, plain_paths(paths), objects)


def _git(folder: Path, kind: str, paths: tuple[str, ...], more: Sequence[Path]) -> Source:
    reading = Objects(folder)
    try:
        return _opened(reading, kind, paths, more)
    except BaseException:
        reading.close()
        raise


def _opened(reading: Objects, kind: str, paths: tuple[str, ...], more: Sequence[Path]) -> Source:
    top = _top(reading)
    if top is None:
        raise UsageError(
            f"{reading.folder} is no git repository", hint="history is read from git: name its folder"
        )
    reading.folder = top
    if kind == "dvc":
        return GitSource(reading, DvcContent(reading, top, paths, more), paths)
    return GitSource(reading, LfsContent(reading, paths, more), paths)


def _top(objects: Objects) -> Path | None:
    """The top of the work tree, or a bare repository's folder; None when there is none.

    Raises:
        UsageError: there is one, and git refuses to read it.
    """
    try:
        if objects.ask("rev-parse", "--is-bare-repository").strip() == "true":
            return Path(objects.ask("rev-parse", "--absolute-git-dir").strip())
        return Path(objects.ask("rev-parse", "--show-toplevel").strip())
    except UsageError as problem:
        if "not a git repository" in problem.message:
            return None
        raise


def _near(place: str) -> Path:
    if place.startswith(_FAR):
        raise UsageError(
            f"{place} is far away: imports read folders and databases in reach of this machine",
            hint="download or mount it first: git clone, dvc fetch, git lfs fetch, mlflow artifacts, hf download",
        )
    folder = Path(place.removeprefix("file://")).expanduser().absolute()
    if not folder.exists():
        raise NotFound(f"there is no {place}", hint=f"name the place of {SUPPORTED}")
    return folder
