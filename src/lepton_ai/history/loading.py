"""Loading a model: straight from the store where its format allows, through files where a framework wants them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from lepton_ai.formats.contract import check_range
from lepton_ai.formats.frameworks import registry, safetensors_direct
from lepton_ai.history.any_home import AnyHome
from lepton_ai.history.checkout import checkout
from lepton_ai.history.manifest import Manifest
from lepton_ai.history.reading import Reader
from lepton_ai.progress import SILENT, Progress
from lepton_ai.store.store import Store
from lepton_ai.types import FileEntry


class Stored:
    """A :class:`~lepton_ai.formats.contract.Source` over a file of a version."""

    def __init__(self, store: Store, manifest: Manifest, progress: Progress) -> None:
        self._store, self._content, self._progress = store, manifest.content, progress

    @property
    def size(self) -> int:
        """Length in bytes."""
        return self._content.size

    def read(self, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``."""
        check_range(offset, length, self.size)
        return self._store.read(self._content, offset, length)

    def fill(self, target: memoryview) -> None:
        """Put the whole file into ``target``, which is as long."""
        self._progress.start("loading", self.size)
        self._store.fill(self._content, target, self._progress)


class Loader:
    """Loads from one repository. ``staged`` gives a folder for the frameworks that open files only."""

    def __init__(
        self,
        reader: Reader,
        home: AnyHome,
        staged: Callable[[], AbstractContextManager[Path]],
        progress: Progress = SILENT,
    ) -> None:
        self._reader, self._home, self._staged, self._progress = reader, home, staged, progress

    def load(self, entries: Sequence[FileEntry], *, trust: bool, path: str | None) -> object:
        """The framework's own object.

        Raises:
            Untrusted, Unsupported, Ambiguous, NotFound, MissingExtra: see :func:`lepton_ai.formats.frameworks.load`.
            Damaged, NoSpace, StorageFailed.
        """
        names = [entry.path for entry in entries]
        links = any(entry.target is not None for entry in entries)
        wanted = None if links else safetensors_direct.wanted(names, path)
        if wanted is not None:
            manifests = self._reader.manifests([entry for entry in entries if entry.path in wanted])
            if all(found.format == "safetensors" and found.sha256 for found in manifests.values()):
                sources = {name: Stored(self._home.store, manifests[name], self._progress) for name in wanted}
                return safetensors_direct.build(sources)
        with self._staged() as folder:
            checkout(self._reader, self._home, entries, folder, progress=self._progress)
            return registry.load(folder, names, trust=trust, path=path)
