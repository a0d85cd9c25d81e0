"""What is built from a checkout: a wheel with the compiled kernel, one without where nothing compiles, the sources."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src" / "lepton_ai"
NATIVE = "store/codecs/native"
SAVE = """
import sys
from pathlib import Path
import numpy as np
import lepton_ai
from lepton_ai.store.codecs.native import kernel
folder, name, compiled = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "True"
assert Path(lepton_ai.__file__).is_relative_to(sys.prefix), lepton_ai.__file__
assert (kernel() is not None) == compiled
repo = lepton_ai.ModelRepository(folder / "repo", author="Ada")
before = {version.name for version in repo.list_versions()}
for number in range(2):
    weights = np.random.default_rng(0).normal(0, 0.02, 50_000).astype("<f4")
    weights += np.random.default_rng(1).normal(0, 1e-5 * (number + 1), 50_000).astype("<f4")
    np.save(folder / "w.npy", weights)
    repo.save_files(folder / "w.npy", name=f"{name}-{number}")
for version in sorted({version.name for version in repo.list_versions()}):
    out = folder / f"{name}-reads-{version}"
    repo.checkout(version, out)
    weights = np.random.default_rng(0).normal(0, 0.02, 50_000).astype("<f4")
    weights += np.random.default_rng(1).normal(0, 1e-5 * (int(version[-1]) + 1), 50_000).astype("<f4")
    assert np.array_equal(np.load(out / "w.npy"), weights)
assert len(before) in {0, 2}
"""


def _build(target: str, place: Path, checkout: Path = ROOT, **environment: str) -> tuple[Path, str]:
    """Build from ``checkout``; the file, and what was said besides its name."""
    command = [sys.executable, "-m", "hatchling", "build", "--target", target, "--directory", str(place)]
    inherited = {name: value for name, value in os.environ.items() if name != "CC"}
    done = subprocess.run(
        command, cwd=checkout, check=True, capture_output=True, text=True, env=inherited | environment
    )
    (path,) = place.iterdir()
    return path, "\n".join(line for line in done.stderr.splitlines() if line != str(path))


def _names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert len(names) == len(set(names))
    return set(names)


def _use(wheel: Path, place: Path, repository: Path, *, compiled: bool) -> None:
    """Install it into a new environment, save two versions there and read all that there are."""
    venv.create(place, with_pip=False)
    python = place / "bin" / "python"
    (packages,) = place.glob("lib/python3*/site-packages")
    install = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(python),
        "install",
        "--no-deps",
        "--no-index",
        "--quiet",
    ]
    subprocess.run([*install, str(wheel)], check=True)
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    arguments = [str(repository), wheel.name.split("-")[-1].split(".")[0].split("_")[0], str(compiled)]
    environment = os.environ | {"XDG_CONFIG_HOME": str(repository), "LEPTON_AI_NO_PROVENANCE": "1"}
    environment.pop("PYTHONPATH", None)
    environment.pop("LEPTON_AI_NO_KERNEL", None)
    subprocess.run([str(python), "-c", SAVE, *arguments], check=True, env=environment, cwd=repository)


@pytest.mark.slow
def test_a_wheel_with_the_kernel_and_one_without_read_each_other(tmp_path: Path) -> None:
    before = (SOURCES / NATIVE / "tiles.so").stat().st_mtime_ns
    wheel, said = _build("wheel", tmp_path / "compiled")
    machine = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    assert wheel.name.endswith(f"-py3-none-{machine}.whl")
    names = _names(wheel)
    assert {"lepton_ai/py.typed", f"lepton_ai/{NATIVE}/tiles.so"} <= names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {f"lepton_ai/{path.relative_to(SOURCES).as_posix()}" for path in SOURCES.rglob("*.py")} <= names
    assert not [name for name in names if name.startswith("tests/")]
    plain, said = _build("wheel", tmp_path / "plain", CC="false")
    assert said == "Lepton AI is built without its compiled codec: false ended with 1"
    assert (SOURCES / NATIVE / "tiles.so").stat().st_mtime_ns == before, "the checkout's own is left alone"
    assert plain.name.endswith("-py3-none-any.whl")
    assert _names(plain) == names - {f"lepton_ai/{NATIVE}/tiles.so"}
    repository = tmp_path / "shared"
    repository.mkdir()
    _use(wheel, tmp_path / "one", repository, compiled=True)
    _use(plain, tmp_path / "two", repository, compiled=False)


@pytest.mark.slow
def test_without_any_compiler_a_wheel_is_built_from_the_sources(tmp_path: Path) -> None:
    path, _ = _build("sdist", tmp_path / "sdist")
    with tarfile.open(path) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    (checkout,) = (tmp_path / "unpacked").iterdir()
    native = checkout / "src" / "lepton_ai" / NATIVE
    assert {file.name for file in native.iterdir()} == {
        "__init__.py",
        "tiles.c",
        "tiles_body.h",
        "tiles_wide.h",
    }
    assert (checkout / "hatch_build.py").is_file()
    plain, said = _build("wheel", tmp_path / "plain", checkout, PATH="")
    assert said == "Lepton AI is built without its compiled codec: there is no C compiler"
    assert plain.name.endswith("-py3-none-any.whl")
    wheel, said = _build("wheel", tmp_path / "compiled", checkout)
    assert (said, f"lepton_ai/{NATIVE}/tiles.so" in _names(wheel)) == ("", True)


@pytest.mark.parametrize(
    ("platform", "tag", "flags"),
    [
        ("linux-x86_64", "linux_x86_64", ()),
        ("macosx-11.0-arm64", "macosx_11_0_arm64", ()),
        ("macosx-10.9-universal2", "macosx_10_9_universal2", ("-arch", "arm64", "-arch", "x86_64")),
    ],
)
def test_the_library_is_for_the_machines_of_its_tag(
    platform: str, tag: str, flags: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    monkeypatch.setattr(sysconfig, "get_platform", lambda: platform)
    assert (hook.machine(), hook.both_macs()) == (tag, flags)
