from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai.errors import Unsupported
from lepton_ai.formats.frameworks import Found, Saved, framework_of, frameworks, load, loader_for, registry
from lepton_ai.formats.plugins import Plugin, plugins

HEAVY = ("numpy", "torch", "tensorflow", "keras", "sklearn", "skops", "onnx", "xgboost", "lightgbm", "h5py")


class Stranger:
    """Somebody's adapter for objects that one of ours would take too."""

    name = "stranger"

    def owns(self, model: object) -> bool:
        return isinstance(model, dict)

    def formats(self) -> tuple[str, ...]:
        return ("own",)

    def save(self, *_: object, **__: object) -> Saved:
        raise OSError("the disk is full")

    def finds(self, folder: Path, files: list[str]) -> list[Found]:
        return [Found(path, 1) for path in files if path.endswith(".own")]

    def load(self, folder: Path, path: str, *, trust: bool) -> object:
        raise RuntimeError("first\nsecond")


STRANGER = Stranger()


@pytest.fixture
def stranger(monkeypatch: pytest.MonkeyPatch):
    ours = plugins(registry.GROUP)
    theirs = Plugin("zzz", f"{__name__}:STRANGER")
    monkeypatch.setattr(registry, "plugins", lambda group: [*ours, theirs])
    frameworks.cache_clear()
    yield STRANGER
    frameworks.cache_clear()


def test_ours_are_registered_as_a_strangers_would_be() -> None:
    assert [each.name for each in frameworks()] == [
        "keras",
        "lightgbm",
        "onnx",
        "sklearn",
        "torch",
        "xgboost",
    ]
    for each in frameworks():
        assert len(set(each.formats())) == len(each.formats()) > 0


def test_looking_imports_no_framework(tmp_path: Path) -> None:
    for name in (
        "m.keras",
        "m.h5",
        "m.pt",
        "m.pt2",
        "m.onnx",
        "m.skops",
        "m.ubj",
        "m.json",
        "m.txt",
        "m.safetensors",
    ):
        (tmp_path / name).write_bytes(b"anything")
    code = f"""
import pathlib, sys
from lepton_ai.formats.frameworks import frameworks
folder = pathlib.Path(sys.argv[1])
files = [path.name for path in folder.iterdir()]
for each in frameworks():
    each.owns(object()), each.owns({{"w": [1.0]}}), each.formats(), each.finds(folder, files)
assert any(each.finds(folder, files) for each in frameworks())
print([name for name in {HEAVY!r} if name in sys.modules])
"""
    run = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_unknown_object_says_what_to_do() -> None:
    class Mine:
        pass

    with pytest.raises(Unsupported, match="Mine") as refusal:
        framework_of(Mine())
    assert (
        refusal.value.hint == "save the model to a file yourself and use create_version(version, model_path)"
    )
    with pytest.raises(Unsupported, match="a dict is no model"):
        framework_of({"w": 1})


def test_version_without_a_model_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unsupported, match=r"README\.md"):
        load(tmp_path, ["README.md", "vocab.txt"])
    with pytest.raises(Unsupported, match="nothing"):
        load(tmp_path, [])


def test_strangers_are_asked_first(stranger: Stranger) -> None:
    assert framework_of({}) is stranger


def test_a_frameworks_error_becomes_one_plain_line(stranger: Stranger, tmp_path: Path) -> None:
    with pytest.raises(Unsupported) as refusal:
        load(tmp_path, ["a.own"])
    assert refusal.value.message == "stranger could not open 'a.own': first"
    assert isinstance(refusal.value.__cause__, RuntimeError)


def test_a_full_disk_is_not_the_models_fault(stranger: Stranger, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="full"):
        registry.save({}, tmp_path, "m")


def test_the_richest_and_nearest_goes_first(tmp_path: Path) -> None:
    files = ["deep/m.keras", "m.keras", "m.onnx", "m.safetensors", "m.pkl"]
    order = []
    while files:
        found = loader_for(tmp_path, files)[1].path
        order.append(found)
        files.remove(found)
    assert order == ["m.keras", "deep/m.keras", "m.onnx", "m.safetensors", "m.pkl"]
