"""A model's folder: what ``save_pretrained`` wrote, or a download to a folder."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lepton_ai.errors import UsageError
from lepton_ai.incoming.contract import Arrival, File, Left
from lepton_ai.incoming.folder_facts import facts
from lepton_ai.incoming.huggingface.reading import COMMIT, MAIN, Local, modified, reader, walk
from lepton_ai.store.durable import storage_errors

UNKNOWN = "unknown"
_WEIGHTS = (".safetensors", ".bin", ".gguf", ".onnx", ".pt", ".pth", ".h5", ".keras", ".msgpack")
_CONFIGS = frozenset({"config.json", "model_index.json", "adapter_config.json"})


def looks_like_model(folder: Path) -> bool:
    """Whether a folder has weights or a configuration at its top."""
    with storage_errors(folder):
        return any(f.name in _CONFIGS or f.suffix in _WEIGHTS for f in folder.iterdir() if f.is_file())


class ModelFolder(Local):
    """A :class:`~lepton_ai.incoming.contract.Source` with one version: what is in the folder now."""

    def __init__(self, folder: Path) -> None:
        self.place = str(folder)
        self.scope = ""
        self._folder = folder
        self._reference = ""

    def arrivals(self) -> Iterator[Arrival]:
        """The folder as a version; the same content is the same version, wherever it lies."""
        files = {file.path: file for file in walk(self._folder)}
        there = [file for file in files.values() if file.place is not None]
        if not there:
            raise UsageError(f"there is no file in {self._folder}", hint="name the folder of a model")
        self._reference = _content(there)
        told = facts(files, reader(files))
        revision = _downloaded(self._folder)
        told_as = f"revision {revision[:12]}" if revision else f"the folder {self._folder.name}"
        newest = max(modified(file.place) for file in there if file.place is not None)
        yield Arrival(
            self._reference,
            MAIN,
            tuple(files.values()),
            UNKNOWN,
            newest,
            told_as,
            params=told.params,
            metrics=told.metrics,
            curves=told.curves,
            dataset=told.dataset,
            follows=True,
        )

    def branches(self) -> Mapping[str, str]:
        """Where the version is, which follows whatever is there."""
        return {}

    def left(self) -> Sequence[Left]:
        """What a folder does not know."""
        return [Left("the author", "a folder does not tell who made it; the time is that of its newest file")]


def _content(files: Sequence[File]) -> str:
    whole = hashlib.sha256()
    for file in sorted(files, key=lambda file: file.path):
        if file.place is not None:
            with storage_errors(file.place), file.place.open("rb") as handle:
                digest = hashlib.file_digest(handle, "sha256").hexdigest()
            whole.update(f"{digest} {file.path}\n".encode("utf-8", "surrogateescape"))
    return whole.hexdigest()


def _downloaded(folder: Path) -> str:
    """The commit that a folder was downloaded from, where all of its notes say the same; else ""."""
    notes = folder.glob(".cache/huggingface/download/**/*.metadata")
    commits = {
        note.read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip() for note in notes
    }
    commit = commits.pop() if len(commits) == 1 else ""
    return commit if COMMIT.fullmatch(commit) else ""
