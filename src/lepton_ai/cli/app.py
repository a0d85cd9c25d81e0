"""The door: from arguments to an exit code, and from every error to one plain line."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Annotated, Any

import typer

from lepton_ai._version import __version__
from lepton_ai.cli import exits
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.heap import collect_seldom, keep_freed_memory
from lepton_ai.cli.output import printable
from lepton_ai.cli.table import COMMANDS
from lepton_ai.errors import LeptonError, StorageFailed

PROGRAM = "lepton"
COMPLETION = "_LEPTON_COMPLETE"
# Typer has its own copy of Click since 0.26 and used Click's before: the class is found without naming either.
ClickError: type[Any] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")


def main() -> int:
    """Run the program with its command line; the exit code."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a terminal that lacks a letter shows its code instead
            stream.reconfigure(errors="backslashreplace")
    keep_freed_memory()
    collect_seldom()
    try:
        return run(sys.argv[1:])
    finally:
        collect_seldom()


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. Errors are said on stderr, and with ``--json`` also on stdout."""
    as_json = "--json" in arguments
    try:
        program = Group(COMMANDS, _program, completion=True).build(PROGRAM)
        if COMPLETION in os.environ:
            program.main(list(arguments), PROGRAM, COMPLETION)
        with program.make_context(PROGRAM, list(arguments)) as context:
            result = program.invoke(context)
        sys.stdout.flush()
    except Exception as problem:  # noqa: BLE001  (the edge: whatever comes up becomes one line and an exit code)
        return _failed(problem, as_json)
    except KeyboardInterrupt:
        return exits.INTERRUPTED
    return result if isinstance(result, int) else exits.OK


@examples("lepton save model.safetensors -m 'first try'", "lepton versions", "lepton rollback v1")
def _program(
    context: typer.Context,
    repo: Repo = None,  # noqa: ARG001  (handed on to the command)
    as_json: Json = False,  # noqa: ARG001  (likewise)
    version: Annotated[bool, typer.Option("--version", help="Show the version of this program.")] = False,
) -> None:
    """Keep every version of a model, exactly: save, branch, compare, roll back.

    `lepton COMMAND --help` explains a command and shows examples.
    """
    if context.invoked_subcommand is not None:
        return
    if version:
        typer.echo(f"{PROGRAM} {__version__}")
        return
    typer.echo(context.get_help(), err=True)
    raise typer.Exit(exits.USAGE)


def _failed(problem: Exception, as_json: bool) -> int:
    """Say what went wrong; the exit code."""
    if isinstance(problem, typer.Exit):
        return problem.exit_code
    if isinstance(problem, typer.Abort):
        return exits.INTERRUPTED
    if isinstance(problem, BrokenPipeError):
        _silence()
        return exits.BROKEN_PIPE
    if os.environ.get("LEPTON_AI_DEBUG", "") not in ("", "0"):
        traceback.print_exception(problem)
    kind, message, hint, code = _explain(problem)
    message = " ".join(message.split()).rstrip(".")
    try:
        sys.stdout.flush()
        sys.stderr.write(
            f"{PROGRAM}: {printable(message)}" + (f" ({printable(hint)})" if hint else "") + "\n"
        )
        if as_json:
            _print_error(kind, message, hint)
    except BrokenPipeError:
        _silence()
    return code


def _explain(problem: Exception) -> tuple[str, str, str | None, int]:
    """Kind, message, hint and exit code of whatever was raised."""
    if isinstance(problem, LeptonError):
        return problem.kind, problem.message, problem.hint, exits.exit_code(problem)
    if isinstance(problem, ClickError):
        return "usage", *_usage(problem), exits.USAGE
    if isinstance(problem, OSError):
        where = f"{problem.filename}: " if problem.filename else ""
        message = f"{where}{problem.strerror or problem}"
        return StorageFailed.kind, message, "check the path and its permissions", exits.ENVIRONMENT
    if isinstance(problem, MemoryError):
        return "memory", "there is not enough memory", "close other programs, then repeat", exits.ENVIRONMENT
    message = f"internal error: {type(problem).__name__}: {problem}"
    return "internal", message, "this is a bug; LEPTON_AI_DEBUG=1 shows where", exits.ENVIRONMENT


def _usage(problem: Any) -> tuple[str, str]:
    """What Typer complains about, and where the help is."""
    context = getattr(problem, "ctx", None)
    path = context.command_path if context else PROGRAM
    return str(problem.format_message()), f"{path} --help shows how it is used"


def _print_error(kind: str, message: str, hint: str | None) -> None:
    import msgspec

    error = {"error": {"kind": kind, "message": message, "hint": hint}}
    sys.stdout.write(msgspec.json.encode(error).decode() + "\n")
    sys.stdout.flush()


def _silence() -> None:
    """Nobody reads the output any more: keep Python from complaining when it flushes at the end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            os.dup2(nowhere, stream.fileno())
        except (OSError, ValueError):
            continue  # a stream without a file, as in tests
    os.close(nowhere)
