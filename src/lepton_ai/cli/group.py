"""A Typer group that imports a command's module only when the command runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from inspect import cleandoc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from lepton_ai.cli.output import coloured
from lepton_ai.cli.table import Entry
from lepton_ai.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOM = "lepton_ai.cli"
HELP = {"help_option_names": ["-h", "--help"]}

Repo = Annotated[
    str | None,
    typer.Option(
        "--repo",
        metavar="PATH",
        help="The repository (default: LEPTON_AI_REPO, else the nearest one at or above this folder).",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.", show_default=False)]


class Lazy(TyperGroup):
    """A group over a table of entries; ``--repo`` and ``--json`` before a command's name are handed on to it."""

    entries: tuple[Entry, ...] = ()
    examples: tuple[str, ...] = ()
    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  (Typer's signature)
        """Names of all commands, hidden ones too."""
        return [entry.name for entry in self.entries]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  (Typer's signature)
        """The command; while help or completions are listed, a stand-in that knows its line of help only."""
        entry = next((entry for entry in self.entries if entry.name == cmd_name), None)
        if entry is None:
            return None
        return _stand_in(entry) if self._listing else load(entry)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write the help without importing any command."""
        with self._as_list():
            super().format_help(ctx, formatter)
        _write_examples(self.examples, formatter)

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        """Complete command names without importing any command."""
        with self._as_list():
            return super().shell_complete(ctx, incomplete)

    def get_params(self, ctx: Any) -> Any:
        """The group's own options."""
        return _quick(super().get_params(ctx))

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is meant, with the options that stood before its name put behind it."""
        typed = args[0]
        known = typed.startswith("-") or any(entry.name == typed for entry in self.entries)
        if not known and not ctx.resilient_parsing:
            near = get_close_matches(typed, [entry.name for entry in self.entries if not entry.hidden])
            meant = f"did you mean {' or '.join(near)}?" if near else f"{ctx.command_path} --help lists them"
            raise UsageError(f"there is no command {typed!r}", hint=meant)
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [*_before(ctx.params), *rest]

    @contextmanager
    def _as_list(self) -> Iterator[None]:
        self._listing = True
        try:
            yield
        finally:
            self._listing = False


class Verb(TyperCommand):
    """A command whose help ends with examples."""

    examples: tuple[str, ...] = ()

    def get_params(self, ctx: Any) -> Any:
        """The command's options and arguments."""
        return _quick(super().get_params(ctx))

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """Write Typer's help, then the examples as they would be typed."""
        super().format_help(ctx, formatter)
        _write_examples(self.examples, formatter)


def examples(*lines: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Give a command the examples that its help shows."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__dict__["examples"] = lines
        return function

    return mark


def load(entry: Entry) -> Any:
    """Import a command and make Typer's object of it."""
    module, _, name = entry.target.partition(":")
    found = getattr(import_module(f"{ROOM}.{module}"), name)
    if isinstance(found, Group):
        return found.build(entry.name)
    app = _typer()
    app.command(entry.name, cls=Verb, help=_prose(found.__doc__), context_settings=HELP)(found)
    command = typer.main.get_command(app)
    command.__dict__["examples"] = getattr(found, "examples", ())
    return command


class Group:
    """Commands under one name; without a command it does what ``callback`` does."""

    def __init__(
        self, entries: tuple[Entry, ...], callback: Callable[..., Any], *, completion: bool = False
    ) -> None:
        self._entries, self._callback, self._completion = entries, callback, completion

    def build(self, name: str) -> Any:
        """Make Typer's object of it."""
        app = _typer(completion=self._completion)
        app.callback(
            cls=type(
                "Lazy",
                (Lazy,),
                {"entries": self._entries, "examples": getattr(self._callback, "examples", ())},
            ),
            invoke_without_command=True,
            help=_prose(self._callback.__doc__),
            context_settings=HELP,
        )(self._callback)
        group = typer.main.get_command(app)
        group.name = name
        return group


def markup() -> bool:
    """Whether help is drawn with Rich: on a terminal; a pipe, and whoever set NO_COLOR, gets plain text."""
    return coloured()


def _typer(*, completion: bool = False) -> typer.Typer:
    return typer.Typer(add_completion=completion, rich_markup_mode="rich" if markup() else None)


def _stand_in(entry: Entry) -> TyperCommand:
    return TyperCommand(
        entry.name, help=_prose(entry.help), hidden=entry.hidden, rich_help_panel=entry.section
    )


def _before(params: dict[str, Any]) -> list[str]:
    repo = ["--repo", params["repo"]] if params.get("repo") else []
    return repo + (["--json"] if params.get("as_json") else [])


def _write_examples(lines: Sequence[str], formatter: Any) -> None:
    """Rich's help is on the terminal already, and ends with an empty line; a plain one stands in the formatter."""
    if lines:
        formatter.write(
            ("" if markup() else "\n") + "Examples:\n" + "".join(f"  $ {line}\n" for line in lines)
        )


def _prose(text: str | None) -> str:
    """A docstring as Typer wants it: one line a paragraph, and nothing that looks like Rich's markup."""
    paragraphs = cleandoc(text or "").split("\n\n")
    joined = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
    return joined.replace("[", "\\[") if markup() else joined


class _Plain:
    """Turns an option's text into a text, path or whole number.

    Typer 0.26 and later would ask pydantic, whose import alone takes several times as long as Python's own start.
    """

    def __init__(self, annotation: object) -> None:
        self._convert: Callable[[str], object] = {Path: Path, int: _whole_number}.get(annotation, str)  # type: ignore[call-overload]

    def itself(self) -> _Plain:
        """What Typer asks a parameter for."""
        return self

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:  # noqa: ARG002  (Typer's signature)
        """The value that the command gets; None stays None."""
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [self._convert(item) for item in value]
        if value is None or isinstance(value, bool):
            return value
        return self._convert(str(value))


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not a whole number") from None


def _quick(params: list[Any]) -> list[Any]:
    """The same parameters, those of our plain types without pydantic."""
    for param in params:
        annotation = getattr(getattr(param, "type_descriptor", None), "annotation", None)
        if annotation in (str, int, bool, Path, list[str]):
            param.get_runtime_param = _Plain(annotation).itself
    return params
