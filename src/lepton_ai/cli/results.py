"""How commands that make a version tell what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from lepton_ai.cli.output import ID_DIGITS, human_size, note, plural, print_json, say, version_json
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository
from lepton_ai.types import VersionInfo


class Growth:
    """How many bytes of packs a repository has gained since this was made, by whomever."""

    def __init__(self, repository: ModelRepository) -> None:
        self._repository = repository
        self._before = {pack.name for pack in repository.home.store.packs()}

    @property
    def bytes(self) -> int:
        """The size of the packs that are new."""
        packs = self._repository.home.store.packs()
        return sum(pack.size for pack in packs if pack.name not in self._before)


@dataclass(frozen=True)
class Made:
    """A version that was made, with everything that is said of it; told when the progress bar is gone."""

    version: Version
    info: VersionInfo
    new_bytes: int

    def print(self, did: str, *, as_json: bool) -> None:
        """Say which version it is, how large, what is newly stored, and what people should know about it."""
        version, info = self.version, self.info
        if as_json:
            told = {"id": version.id, "new_bytes": self.new_bytes, "notes": list(version.notes)}
            print_json(version_json(info) | told)
            return
        revision = f", revision {version.revision}" if version.revision > 1 else ""
        say(f"{did} {info.branch}@{version.name}{revision}  {version.id[:ID_DIGITS]}")
        stored = f"{human_size(self.new_bytes)} newly stored" if self.new_bytes else "nothing new to store"
        say(f"  {plural(len(version.files), 'file')}, {human_size(info.raw_bytes)}; {stored}")
        for text in version.notes:
            note(text)


def made(repository: ModelRepository, version: Version, growth: Growth | None = None) -> Made:
    """What is to be said of a version that was just made."""
    return Made(version, repository.info(version), growth.bytes if growth else 0)
