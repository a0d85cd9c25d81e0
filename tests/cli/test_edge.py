"""The edge: exit codes, plain errors, interrupts, broken pipes; through the installed program where it matters."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from lepton_ai import errors
from lepton_ai.cli import exits, versions
from lepton_ai.cli.app import main
from lepton_ai.repository import ModelRepository
from tests.cli.conftest import Lepton, model

PROGRAM = Path(sys.executable).with_name("lepton")


def start(*arguments: str, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, check=False, **more)  # type: ignore[call-overload]


KINDS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.LeptonError)
]
CODES = {
    "usage": 2, "invalid-name": 2, "not-found": 2, "already-exists": 2, "ambiguous": 2, "in-use": 2,
    "would-overwrite": 2, "untrusted": 2, "missing-extra": 2, "unsupported": 2,
    "conflict": 3, "lost-race": 3, "busy": 3, "diverged": 1,
    "infrastructure": 3, "no-space": 3, "key-missing": 3, "storage-failed": 3,
    "integrity": 5, "damaged": 5, "too-new": 5, "error": 3,
    "not-allowed": 2, "unauthenticated": 2, "forbidden": 2, "too-many-requests": 3,
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_every_kind_of_error_has_its_exit_code(kind: type[errors.LeptonError]) -> None:
    assert exits.exit_code(kind("x")) == CODES[kind.kind]


ADVICE = "(check the path and its permissions)\n"


def raising(monkeypatch: pytest.MonkeyPatch, problem: BaseException) -> None:
    def fail(*_: object, **__: object) -> None:
        raise problem

    monkeypatch.setattr(ModelRepository, "list_versions", fail)


@pytest.mark.parametrize(
    ("problem", "code", "line"),
    [
        (errors.Damaged("a pack is cut.", hint="restore it"), 5, "lepton: a pack is cut (restore it)\n"),
        (errors.Busy("locked by 7"), 3, "lepton: locked by 7\n"),
        (PermissionError(13, "Permission denied", "/x"), 3, f"lepton: /x: Permission denied {ADVICE}"),
        (OSError("odd"), 3, f"lepton: odd {ADVICE}"),
        (MemoryError(), 3, "lepton: there is not enough memory (close other programs, then repeat)\n"),
        (KeyError("x"), 3, "lepton: internal error: KeyError: 'x' (this is a bug; LEPTON_AI_DEBUG=1 shows where)\n"),
        (errors.NotFound("evil \x1b[2J\nname"), 2, "lepton: evil \\x1b[2J name\n"),
        (typer.Abort(), 130, ""),
        (KeyboardInterrupt(), 130, ""),
    ],
)  # fmt: skip
def test_every_problem_is_one_plain_line(
    three: Lepton, monkeypatch: pytest.MonkeyPatch, problem: BaseException, code: int, line: str
) -> None:
    raising(monkeypatch, problem)
    done = three("versions", code=code)
    assert (done.out, done.err) == ("", line)


def test_a_traceback_only_when_asked_for(three: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_DEBUG", "1")
    err = three("show", "v9", code=2).err
    assert err.startswith("Traceback (most recent call last):")
    assert err.splitlines()[-1].startswith("lepton: there is no version 'v9'")
    monkeypatch.setenv("LEPTON_AI_DEBUG", "0")
    assert three("show", "v9", code=2).err.startswith("lepton: ")


HELP = "--help shows how it is used)"


@pytest.mark.parametrize(
    ("arguments", "says", "next_step"),
    [
        (["sav"], "there is no command 'sav'", "(did you mean save?)"),
        (["qqq"], "there is no command 'qqq'", "(lepton --help lists them)"),
        (["keys", "rotat"], "there is no command 'rotat'", "(did you mean rotate?)"),
        (["save"], "PATH", f"(lepton save {HELP}"),
        (["versions", "--bogus"], "--bogus", f"(lepton versions {HELP}"),
        (["versions", "extra"], "extra", f"(lepton versions {HELP}"),
        (["versions", "--limit", "x"], "'x' is not a whole number", HELP),
        (["versions", "--limit"], "--limit", HELP),
        (["--bogus"], "--bogus", f"(lepton {HELP}"),
    ],
)
def test_a_mistyped_command_is_one_plain_line_too(
    lepton: Lepton, arguments: list[str], says: str, next_step: str
) -> None:
    done = lepton(*arguments, code=2)
    assert done.out == ""
    assert done.err.startswith("lepton: ")
    assert says in done.err
    assert done.err.endswith(f"{next_step}\n")
    assert done.err.count("\n") == 1
    assert lepton(*arguments, "--json", code=2).json["error"]["kind"] == "usage"


def test_without_a_command_the_help_is_shown(lepton: Lepton) -> None:
    done = lepton(code=2)
    assert done.out == ""
    assert done.err.startswith("Usage: lepton ")


def test_the_version(lepton: Lepton) -> None:
    assert lepton("--version").out.startswith("lepton 0.")


def test_the_repository_before_and_after_the_command(three: Lepton, here: Path, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    for arguments in (
        ["--repo", "work", "versions", "--json"],
        ["versions", "--repo", "work", "--json"],
        ["--json", "--repo", "work", "versions"],
        ["--repo", "nowhere", "versions", "--repo", "work", "--json"],
        ["--repo", "work/.lepton", "versions", "--json"],
    ):
        assert [version["name"] for version in three(*arguments).json] == ["v1", "v2", "v3"]
    assert len(three("--repo", "work", "--json", "keys").json) == 2
    assert three("--repo", "work", "--json", "keys", "rotate").json["sealing_key"]


def test_the_default_repository(
    three: Lepton, here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = here / "a/b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert len(three("versions", "--json").json) == 3
    monkeypatch.chdir(tmp_path)
    error = three("versions", "--json", code=2).error
    assert error["message"] == f"there is no repository in {tmp_path} or above it"
    assert error["hint"] == "lepton init makes one here, --repo names another"
    monkeypatch.setenv("LEPTON_AI_REPO", str(here))
    assert len(three("versions", "--json").json) == 3
    assert three("versions", "--repo", "nope", "--json", code=2).error["hint"] == "lepton init nope makes one"


def test_a_broken_setting(three: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEPTON_AI_TIMEOUT", "soon")
    assert (
        three("versions", "--json", code=2).error["message"].startswith("LEPTON_AI_TIMEOUT is not a number")
    )


def test_a_damaged_history(three: Lepton, here: Path) -> None:
    (here / ".lepton/history.db").write_bytes(b"not a database" * 100)
    assert three("versions", "--json", code=5).error["kind"] == "damaged"


def test_a_model_that_cannot_be_read(three: Lepton, monkeypatch: pytest.MonkeyPatch) -> None:
    model()
    real = os.open

    def refusing(path: object, *arguments: int) -> int:
        if str(path).endswith("model.safetensors"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr("os.open", refusing)
    error = three("save", "model.safetensors", "--json", code=3).error
    assert error["kind"] == "storage-failed"
    assert "Permission denied" in error["message"]


def test_the_installed_program(here: Path) -> None:
    model()
    assert start("save", "model.safetensors").returncode == 0
    assert json.loads(start("versions", "--json").stdout)[0]["name"] == "v1"
    failed = start("show", "v9", "--json")
    assert (failed.returncode, json.loads(failed.stdout)["error"]["kind"]) == (2, "not-found")
    assert failed.stderr.startswith("lepton: there is no version 'v9'")


def test_nobody_reads_any_more(three: Lepton) -> None:
    script = f"set -o pipefail; {PROGRAM} show v1 --json | head -c 1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("{", "")
    assert done.returncode in (0, exits.BROKEN_PIPE)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        gone = subprocess.run([PROGRAM, "versions"], stdout=closed, stderr=subprocess.PIPE, check=False)
    assert (gone.returncode, gone.stderr) == (exits.BROKEN_PIPE, b"")


def test_ctrl_c_is_quiet(here: Path) -> None:
    script = "import signal, sys, time; from lepton_ai.cli import app, versions\n"
    # What a shell starts in the background ignores Ctrl-C, and so would everything that it starts.
    script += "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    script += "def slow(*_, **__):\n    print('started', flush=True)\n    time.sleep(60)\n"
    script += "versions.opened = slow\nsys.exit(app.main())"
    with subprocess.Popen(
        [sys.executable, "-c", script, "versions"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (exits.INTERRUPTED, "", "")


def test_a_terminal_that_lacks_letters(three: Lepton) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    three("rollback", "v1", "-m", "größer")
    graph = start("log", "--graph", env=environment).stdout
    assert graph.isascii()
    assert graph.startswith("R  main@v4 ")
    assert "gr\\xf6\\xdfer" in graph
    assert start("tensors", "v1", env=environment).returncode == 0


def test_main_gives_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["lepton", "show", "v1"])
    assert main() == 2
    assert capsys.readouterr().err.startswith("lepton: there is no repository in ")


def test_commands_are_modules_of_their_own() -> None:
    assert versions.versions.__module__ == "lepton_ai.cli.versions"


def test_as_a_module_it_is_the_same_program() -> None:
    command = [sys.executable, "-m", "lepton_ai"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, start("--version").stdout)
    wrong = subprocess.run([*command, "no-such-command"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stderr) == (2, start("no-such-command").stderr)
