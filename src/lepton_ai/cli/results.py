"""How commands that make a version tell what came of it."""

from __future__ import annotations

import msgspec

from lepton_ai.cli.output import ID_DIGITS, human_size, note, plural, print_json, say
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository
from lepton_ai.telling.versions import version_json
from lepton_ai.types import VersionInfo


class Made(msgspec.Struct, frozen=True):
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
        stored = "nothing new to store"
        if self.new_bytes:
            stored = f"{human_size(abs(self.new_bytes))} " + (
                "newly stored" if self.new_bytes > 0 else "less stored"
            )
        say(f"  {plural(len(version.files), 'file')}, {human_size(info.raw_bytes)}; {stored}")
        for text in version.notes:
            note(text)


def made(repository: ModelRepository, version: Version) -> Made:
    """What is to be said of a version that was just made."""
    return Made(version, repository.info(version), version.new_bytes or 0)
