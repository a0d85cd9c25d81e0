"""How commands that make a version tell what came of it."""

from __future__ import annotations

from lepton_ai.cli.output import ID_DIGITS, human_size, note, plural, print_json, say, version_json
from lepton_ai.handles import Version
from lepton_ai.repository import ModelRepository


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


def print_version(
    repository: ModelRepository, version: Version, did: str, *, as_json: bool, growth: Growth | None = None
) -> None:
    """Say which version was made, how large it is, what is newly stored, and what people should know about it."""
    info = repository.info(version)
    new = growth.bytes if growth else 0
    if as_json:
        told = {**version_json(info), "id": version.id, "new_bytes": new, "notes": list(version.notes)}
        print_json(told)
        return
    revision = f", revision {version.revision}" if version.revision > 1 else ""
    say(f"{did} {info.branch}@{version.name}{revision}  {version.id[:ID_DIGITS]}")
    stored = f"{human_size(new)} newly stored" if new else "nothing new to store"
    say(f"  {plural(len(version.files), 'file')}, {human_size(info.raw_bytes)}; {stored}")
    for text in version.notes:
        note(text)
