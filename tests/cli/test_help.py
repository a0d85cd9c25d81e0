"""Help, examples, completion, and what is imported for them."""

from __future__ import annotations

import inspect
import shlex
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

from lepton_ai.cli import job, keys, remote, server, token, user
from lepton_ai.cli.app import PROGRAM, _program
from lepton_ai.cli.group import Group, load
from lepton_ai.cli.table import COMMANDS, Entry
from tests.cli.conftest import Lepton, model

ROOT = Path(__file__).parent.parent.parent
GROUPS = {
    "job": job.ENTRIES, "keys": keys.ENTRIES, "remote": remote.ENTRIES, "server": server.ENTRIES,
    "token": token.ENTRIES, "user": user.ENTRIES,
}  # fmt: skip
ALL = [(entry, [entry.name]) for entry in COMMANDS] + [
    (entry, [group, entry.name]) for group, entries in GROUPS.items() for entry in entries
]
DESIGNED = [
    "init", "save", "update", "log", "versions", "show", "checkout", "tensors", "branch", "merge", "tag", "alias",
    "rollback", "delete", "restore", "gc", "verify", "stats", "keys", "demo",
]  # fmt: skip


def ids(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def function(entry: Entry) -> object:
    module, _, name = entry.target.partition(":")
    found = getattr(import_module(f"lepton_ai.cli.{module}"), name)
    return found._callback if isinstance(found, Group) else found


def test_the_commands_of_the_design_are_there() -> None:
    names = [entry.name for entry in COMMANDS]
    assert set(DESIGNED) <= set(names)
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("entry", "typed"), ALL, ids=ids)
def test_every_help_explains_and_shows_examples(lepton: Lepton, entry: Entry, typed: list[str]) -> None:
    shown = lepton(*typed, "--help").out
    assert shown.startswith("Usage: lepton ")
    assert shown == lepton(*typed, "-h").out
    assert "\nExamples:\n  $ " in shown
    first = (inspect.getdoc(function(entry)) or "").splitlines()[0]
    assert first.startswith(entry.help.removesuffix(".")), (
        "the list of commands says something else than the help"
    )
    if entry.name != "demo":
        assert "--json" in shown
        assert "--repo PATH" in shown


@pytest.mark.parametrize(("entry", "typed"), ALL, ids=ids)
def test_every_example_can_be_typed(entry: Entry, typed: list[str]) -> None:
    program = Group(COMMANDS, _program).build(PROGRAM)
    examples = getattr(function(entry), "examples", ())
    assert examples
    for example in examples:
        words = shlex.split(example)
        words = words[words.index("lepton") + 1 :]
        words = words[: words.index("|")] if "|" in words else words
        context = program.make_context(PROGRAM, words, resilient_parsing=False)
        name, command, rest = program.resolve_command(context, [*context._protected_args, *context.args])
        with command.make_context(name, rest, parent=context) as inner:
            if name in GROUPS and inner._protected_args:
                inside, verb, left = command.resolve_command(inner, [*inner._protected_args, *inner.args])
                verb.make_context(inside, left, parent=inner)


def test_the_list_of_commands(lepton: Lepton) -> None:
    shown = lepton("--help").out
    for entry in COMMANDS:
        assert (f"\n  {entry.name} " in shown) is not entry.hidden


@pytest.mark.parametrize(("entry", "typed"), ALL, ids=ids)
def test_the_page_of_commands_knows_every_option(entry: Entry, typed: list[str]) -> None:
    page = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")
    if entry.hidden:
        assert f"`{entry.name}`" in page
        return
    _, _, section = page.partition(f"\n## {typed[0]}\n")
    assert section, "it has no section"
    section = section.partition("\n## ")[0]
    inherited = page.partition("\n## save\n")[2].partition("\n## ")[0] if entry.name == "update" else ""
    command = load(entry)
    for param in command.params:
        if param.name not in ("repo", "as_json") and param.param_type_name == "option":
            assert any(option in section + inherited for option in param.opts), param.opts


def loaded_by(*arguments: str) -> set[str]:
    """Modules that are imported when the program runs a command."""
    script = "import sys; from lepton_ai.cli.app import run; run(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stderr.splitlines()[-1].split())


HEAVY = {
    "numpy", "zstandard", "cryptography", "sqlalchemy", "pydantic", "torch", "tensorflow", "keras", "sklearn",
    "importlib.metadata", "rich",
}  # fmt: skip


def test_the_help_imports_no_command() -> None:
    loaded = loaded_by("--help")
    ours = {name for name in loaded if name.startswith("lepton_ai.")}
    assert ours == {
        "lepton_ai._version", "lepton_ai.errors", "lepton_ai.types", "lepton_ai.cli", "lepton_ai.cli.app",
        "lepton_ai.cli.exits", "lepton_ai.cli.group", "lepton_ai.cli.heap", "lepton_ai.cli.output",
        "lepton_ai.cli.table",
    }  # fmt: skip
    assert not loaded & HEAVY


@pytest.mark.parametrize(
    "arguments", [["versions"], ["versions", "--json"], ["log"], ["log", "--graph"], ["tag"], ["show", "v1"],
                  ["branch"], ["alias"]], ids=ids
)  # fmt: skip
def test_everyday_commands_start_quickly(three: Lepton, arguments: list[str]) -> None:
    assert not loaded_by(*arguments) & HEAVY


def test_a_save_finds_the_readers_without_the_standard_librarys_slow_way(three: Lepton) -> None:
    loaded = loaded_by("save", str(model(step=9)))
    assert "lepton_ai.formats.safetensors" in loaded
    assert "importlib.metadata" not in loaded


def test_a_save_leaves_the_rooms_alone_that_it_does_not_enter(three: Lepton) -> None:
    loaded = loaded_by("save", str(model(step=9)))
    history = {f"lepton_ai.history.{name}" for name in ("repack", "verify", "backup", "bundle", "stats")}
    others = {"lepton_ai.store.repack.repacker", "lepton_ai.formats.hdf5_file.walk", "zipfile"}
    assert not loaded & (history | others)


def completed(line: str) -> list[str]:
    """What bash is offered for a line; a space at its end begins a new word."""
    words = line.split(" ")
    environment = {"_LEPTON_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    script = f"import os; os.environ |= {environment!r}; from lepton_ai.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    return done.stdout.split()


def test_completion_of_commands_and_options(three: Lepton) -> None:
    assert completed("lepton ver") == ["versions", "verify"]
    assert "list_versions" not in completed("lepton l")
    assert completed("lepton keys ro") == ["rotate"]
    assert completed("lepton nope ") == completed("lepton ")
    assert completed("lepton versions --li") == ["--limit"]


def test_completion_of_names(three: Lepton) -> None:
    three("branch", "feature")
    three("save", "model.safetensors", "-b", "feature")
    three("tag", "best", "v1")
    three("alias", "beta", "v1")
    assert completed("lepton versions -b ") == ["main", "feature"]
    assert completed("lepton show v") == ["v3", "v2", "v1"]
    assert completed("lepton show fea") == ["feature@v4"]
    assert completed("lepton show b") == ["best", "beta"]
    assert completed("lepton tag be") == ["best"]
    assert completed("lepton alias be") == ["beta"]
    assert completed("lepton merge f") == ["feature"]


def test_completion_where_there_is_nothing(here: Path) -> None:
    assert completed("lepton show v") == []
    (here / ".lepton").mkdir()
    (here / ".lepton/config.json").write_text("broken")
    assert completed("lepton show v") == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_can_be_installed(shell: str) -> None:
    environment = {"_LEPTON_COMPLETE": f"source_{shell}"}
    script = f"import os; os.environ |= {environment!r}; from lepton_ai.cli.app import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert "_LEPTON_COMPLETE=complete_" in done.stdout
