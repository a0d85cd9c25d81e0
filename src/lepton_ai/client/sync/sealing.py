"""Sealing keys that a rotation added at one end, given to the other: without them what is new stays shut."""

from __future__ import annotations

from pathlib import Path

from lepton_ai import wire
from lepton_ai.client.home import SEALING, FarHome
from lepton_ai.history.any_home import AnyHome
from lepton_ai.store.durable import storage_errors, write_file


def pass_on(source: AnyHome, target: AnyHome) -> list[str]:
    """Give the target the sealing keys that it lacks, wrapped as they are; their names.

    Raises:
        Forbidden: only an administrator may add keys to that server.
    """
    if not source.config.encrypted:
        return []
    ours = _files(source.keyring.folder)
    if isinstance(target, FarHome):
        if len(ours) < 2:  # never rotated
            return []
        missing = sorted(ours.keys() - set(target.info.sealing))
        for name in missing:
            target.connection.call(
                "PUT", f"{target.path}/keys/{name}", wire.KeyFile(name, ours[name].read_bytes())
            )
        return missing
    missing = sorted(ours.keys() - _files(target.keys).keys())
    for name in missing:
        write_file(target.keys / name, ours[name].read_bytes())
    return missing


def _files(folder: Path) -> dict[str, Path]:
    with storage_errors(folder):
        return {file.name: file for file in folder.glob(SEALING)}
