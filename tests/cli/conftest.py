"""A user at work: an empty folder, a home of their own, and the program."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from lepton_ai.cli.app import run


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> dict[str, str]:
        """The error as machines get it; on stderr stands the same as one plain line."""
        told: dict[str, str] = self.json["error"]
        assert set(told) == {"kind", "message", "hint"}
        assert self.err.startswith(f"lepton: {told['message']}")
        assert self.err.count("\n") == 1
        return told


Lepton = Callable[..., Ran]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty; the user's home and settings are beside it."""
    home, folder = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    folder.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("LEPTON_AI_NO_PROVENANCE", "1")
    monkeypatch.setenv("LEPTON_AI_AUTHOR", "Anna")
    monkeypatch.setenv("TZ", "UTC")
    for name in ("LEPTON_AI_REPO", "LEPTON_AI_KEY_FILE", "LEPTON_AI_DEBUG", "NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def lepton(capsys: pytest.CaptureFixture[str]) -> Lepton:
    """Run a command in this process, through the same door as the installed program."""

    def command(*arguments: str | Path, code: int = 0) -> Ran:
        capsys.readouterr()
        got = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        assert got == code, f"exit code {got}, not {code}: {out}{err}"
        return Ran(got, out, err)

    return command


def model(name: str = "model.safetensors", step: float = 0.0) -> Path:
    """A model file in the current folder: two tensors, of which a few numbers move with every step."""
    weight = np.random.default_rng(7).normal(size=(64, 32)).astype(np.float32)
    weight[0] += step
    save_file({"layer.weight": weight, "layer.bias": np.arange(32, dtype=np.float32)}, name)
    return Path(name)


@pytest.fixture
def three(lepton: Lepton) -> Lepton:
    """A repository with v1, v2 and v3 on main."""
    for step in range(3):
        accuracy = f"accuracy={0.9 + step / 100:.2f}"
        lepton(
            "save", model(step=step), "-m", f"step {step}", "--metric", accuracy, "--param", f"step={step}"
        )
    return lepton
