"""Settings from the environment, read once into one frozen value."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from lepton_ai.errors import UsageError

PREFIX = "LEPTON_AI_"
YES = {"1", "true", "yes"}


class Settings(msgspec.Struct, frozen=True):
    """``repo``: the default repository. ``author``: who saves. ``timeout``: seconds to wait for other processes.

    ``key_file``: a key file or recovery-key file to use instead of the one in the user's config folder.
    ``no_provenance``: do not record git checkout and installed packages. ``read_all``: read files again that have not
    changed since they were read. ``insecure``: servers may be spoken to without encryption, also on other machines.
    """

    repo: Path | None = None
    author: str = ""
    timeout: float = 30.0
    key_file: Path | None = None
    no_provenance: bool = False
    read_all: bool = False
    insecure: bool = False


def read(environment: Mapping[str, str] | None = None) -> Settings:
    """The settings that ``LEPTON_AI_REPO`` and the others give.

    Raises:
        UsageError: a value cannot be read.
    """
    source = os.environ if environment is None else environment

    def get(name: str) -> str:
        return source.get(PREFIX + name, "")

    try:
        timeout = float(get("TIMEOUT") or 30.0)
    except ValueError:
        timeout = -1.0
    if not 0 <= timeout < 1e6:
        raise UsageError(f"{PREFIX}TIMEOUT is not a number of seconds: {get('TIMEOUT')!r}")
    return Settings(
        repo=Path(get("REPO")).expanduser() if get("REPO") else None,
        author=get("AUTHOR"),
        timeout=timeout,
        key_file=Path(get("KEY_FILE")).expanduser() if get("KEY_FILE") else None,
        no_provenance=get("NO_PROVENANCE").lower() in YES,
        read_all=get("READ_ALL").lower() in YES,
        insecure=get("INSECURE").lower() in YES,
    )
