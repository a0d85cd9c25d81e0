"""``lepton demo``: it runs to the end without a terminal, touches nothing that is there, and says what to try next."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_ai import ModelRepository
from lepton_ai.cli.demo_tour import TOUR

pytestmark = pytest.mark.frameworks
LEPTON = str(Path(sys.executable).with_name("lepton"))


def _run(*command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_it_makes_the_whole_journey(tmp_path: Path) -> None:
    done = _run(LEPTON, "demo", folder=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    for number, step in enumerate(TOUR, 1):
        assert f"{number}. {step.title}" in done.stdout
    shown = re.findall(r"^(?:>>> |\.\.\. |\$ )(.*)$", done.stdout, flags=re.MULTILINE)
    ran = [line.removeprefix("$ ") for step in TOUR for line in step.code.strip().splitlines()]
    assert shown == ran
    with ModelRepository(tmp_path / "lepton-demo" / "digits", create=False) as repo:
        assert [(v.name, v.branch) for v in repo.list_versions("main")] == [
            (f"v{n}", "main") for n in range(1, 6)
        ]
        assert repo.version("v5").content_id == repo.version("v3").content_id
        assert repo.version("v3").revision == 2
        assert repo.verify().clean
    _check_next_steps(done.stdout, tmp_path)


def _check_next_steps(output: str, folder: Path) -> None:
    """Every line that it proposes can be typed as it stands."""
    proposed = output.partition("Try next:")[2]
    lines = [line.partition("    ")[0].strip() for line in proposed.splitlines() if line.startswith("  ")]
    assert any(line.startswith("cd ") for line in lines)
    path = f"export PATH={Path(LEPTON).parent}:$PATH"
    done = _run("bash", "-ec", "\n".join([path, *lines]), folder=folder)
    assert done.returncode == 0, done.stdout + done.stderr


def test_it_takes_another_folder_when_its_own_is_there(tmp_path: Path) -> None:
    """Up to the first step only: the folder is chosen before anything is trained."""
    (tmp_path / "lepton-demo").mkdir()
    hide = "import sys; sys.modules['sklearn.datasets'] = None"
    code = f"{hide}; from lepton_ai.cli.demo import demo; demo()"
    done = _run(sys.executable, "-c", code, folder=tmp_path)
    assert "steps, in " + str(tmp_path / "lepton-demo-2") in done.stdout
    assert list((tmp_path / "lepton-demo").iterdir()) == []


def test_it_refuses_a_folder_with_something_in_it(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("precious")
    done = _run(LEPTON, "demo", "mine", folder=tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "thesis.txt"]


def test_it_names_the_extra_that_is_missing(tmp_path: Path) -> None:
    code = "import sys; sys.modules['skl2onnx'] = None; from lepton_ai.cli.app import run; sys.exit(run(['demo']))"
    done = _run(sys.executable, "-c", code, folder=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "lepton: the demo needs skl2onnx (pip install 'lepton-ai[demo]')\n"
    assert list(tmp_path.iterdir()) == []
