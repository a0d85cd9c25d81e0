"""``lepton demo``: the whole journey on a real model, each step printed as you would type it."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import chdir, contextmanager, nullcontext
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from lepton_ai.cli import app
from lepton_ai.cli.demo_tour import TOUR, Step
from lepton_ai.cli.group import examples
from lepton_ai.errors import MissingExtra, WouldOverwrite

FOLDER = "lepton-demo"
NEEDED = ("sklearn", "skops", "onnx", "skl2onnx")
KERAS_BACKENDS = ("torch", "jax", "tensorflow")
NEXT = """
lepton versions                 every version: branch, times, sizes, metrics
lepton show v3                  everything that v3 carries
lepton tensors v2               what is inside its files
lepton checkout v2 -o ../out    the files, byte for byte as they were saved
lepton alias production v5      a name that moves and remembers where it was
lepton --help                   all the rest
"""


@examples("lepton demo", "lepton demo ~/try-it")
def demo(
    path: Annotated[
        Path | None,
        typer.Argument(help="A new or empty folder (default: lepton-demo here).", show_default=False),
    ] = None,
) -> None:
    """Show the whole journey on a real model, in a new folder, in under a minute.

    Trains a network on handwritten digits, saves versions of it, branches, fine-tunes, updates, rolls back, deletes,
    restores. Everything is printed as you would type it. Needs scikit-learn and ONNX: pip install 'lepton-ai[demo]'.
    """
    absent = [name for name in NEEDED if not _installed(name)]
    if absent:
        raise MissingExtra(f"the demo needs {absent[0]}", hint="pip install 'lepton-ai[demo]'")
    started = time.monotonic()
    folder = _new_folder(path)
    steps = [step for step in TOUR if not step.needs or _installed(step.needs)]
    _say(f"Lepton AI demo: {len(steps)} steps, in {folder}", "bold")
    space: dict[str, Any] = {}
    with _undisturbed(), chdir(folder):
        for number, step in enumerate(steps, 1):
            _say(f"\n{number}. {step.title}", "bold")
            _say(f"   {step.why}\n", "dim")
            with _hushed() if step.needs else nullcontext():
                _run(step, space)
    _say(f"\nDone in {time.monotonic() - started:.0f} seconds.", "bold")
    _say_next(folder / "digits")


def _run(step: Step, space: dict[str, Any]) -> None:
    """Print a step's code and do what it says."""
    code = step.code.strip()
    if not code.startswith("$ "):
        for line in code.splitlines():
            _say(("... " if line[:1] in {" ", "]", ")"} else ">>> ") + line, "cyan")
        exec(compile(code, f"<{step.title}>", "exec"), space)  # noqa: S102  (our own text: what is shown is what runs)
        return
    with chdir("."):
        for line in code.splitlines():
            _say(line, "cyan")
            _, program, *arguments = shlex.split(line)
            if program == "cd":
                os.chdir(arguments[0])
            elif failed := app.run(arguments):
                raise typer.Exit(failed)


def _installed(name: str) -> bool:
    if name == "keras":  # it is there only together with one that computes for it
        return find_spec(name) is not None and any(map(find_spec, KERAS_BACKENDS))
    return find_spec(name) is not None


def _new_folder(path: Path | None) -> Path:
    if path is None:
        names = (FOLDER if number == 1 else f"{FOLDER}-{number}" for number in count(1))
        path = next(Path(name) for name in names if not os.path.lexists(name))
    folder = path.expanduser().absolute()
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise WouldOverwrite(
            f"{folder} is there already and not empty", hint="name a new folder: lepton demo FOLDER"
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Keep the frameworks from talking in between, and Keras on the backend that starts the fastest."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", next(filter(find_spec, KERAS_BACKENDS), ""))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep back what frameworks write past Python to stderr; show it when something fails."""
    with tempfile.TemporaryFile() as kept:
        stderr = os.dup(2)
        os.dup2(kept.fileno(), 2)
        try:
            yield
        except BaseException:
            kept.seek(0)
            os.write(stderr, kept.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


def _say_next(repository: Path) -> None:
    _say("\nThe repository is yours. Try next:\n")
    program = Path(sys.argv[0]).absolute()
    if shutil.which("lepton") != str(program):  # the environment is not active, or there is another lepton
        _say(f"  export PATH={shlex.quote(str(program.parent))}:$PATH", "cyan")
    _say(f"  cd {shlex.quote(str(repository))}", "cyan")
    for line in NEXT.strip().splitlines():
        _say(f"  {line}", "cyan")
    absent = [name for name in ("torch", "keras") if not _installed(name)]
    if absent:
        _say(f"\nWhen {' and '.join(absent)} are installed, the demo takes them along.", "dim")


def _say(text: str, style: str = "") -> None:
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False, soft_wrap=True).print(Text(text, style=style))
