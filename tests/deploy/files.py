"""The deployment files, read."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from lepton_ai.server.settings import PREFIX

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
FILES = sorted(path for path in DEPLOY.rglob("*") if path.is_file())
KUBERNETES = DEPLOY / "kubernetes"
OVERLAYS = ("base", "migrate", "overlays/production")


def need(program: str, package: str) -> str:
    """The path of a program; the test is skipped aloud (and fails in CI) where it is not installed."""
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed (Debian: {package})")
    return found


def rendered(overlay: str) -> list[dict[str, Any]]:
    """What kustomize makes of a folder."""
    command = [need("kubectl", "kubernetes-client"), "kustomize", str(KUBERNETES / overlay)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def variables(text: str) -> set[str]:
    """The settings of the server that a text names."""
    return {name.removeprefix(PREFIX).lower() for name in re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", text)}


def walk(value: object) -> Iterator[object]:
    """Everything in a document, from the top."""
    yield value
    if isinstance(value, dict):
        for inner in value.values():
            yield from walk(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from walk(inner)
