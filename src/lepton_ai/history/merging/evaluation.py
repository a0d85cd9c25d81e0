"""Let a program judge candidates: run it on each one's files, read the number that it prints, keep the best."""

from __future__ import annotations

import math
import os
import re
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import msgspec

from lepton_ai.errors import UsageError

PLACE = "{dir}"
VARIABLE = "LEPTON_AI_CANDIDATE"
"""The environment variable that names the folder, for programs that take no argument."""

Direction = Literal["highest", "lowest"]
_LESS_IS_BETTER = re.compile(
    r"loss|error|perplexity|(^|[_.-])(mse|mae|rmse|wer|cer|fid|ppl)($|[_.-])", re.IGNORECASE
)
_PAIR = re.compile(r"^\s*([A-Za-z_][\w./@-]*)\s*[=:]\s*(\S+)\s*$")
_SAID = 300
"""Letters of a failed program's last words that are passed on."""


class Judge(msgspec.Struct, frozen=True):
    """How candidates are judged: a command for the shell (``{dir}``: the folder), the metric's name, what is best.

    ``metric`` "": the only number that the program prints. ``best`` None: lowest for names such as loss or error.
    """

    command: str
    metric: str = ""
    best: Direction | None = None

    def better(self, metric: str) -> Direction:
        """What is best of a metric of this name."""
        return self.best or ("lowest" if _LESS_IS_BETTER.search(metric) else "highest")


class Score(msgspec.Struct, frozen=True, omit_defaults=True):
    """What came of a candidate: the metric's name and value, or the ``failure`` in words."""

    candidate: str
    metric: str = ""
    value: float | None = None
    failure: str = ""


def judge(command: str, metric: str = "", best: str | None = None) -> Judge:
    """The judge that was asked for.

    Raises:
        UsageError: there is no command, or no such direction.
    """
    if not command.strip():
        raise UsageError("the command to evaluate with is empty", hint="--evaluate 'python eval.py {dir}'")
    if best not in (None, "highest", "lowest"):
        raise UsageError(f"{best!r} says not what is best", hint="highest or lowest")
    return Judge(command, metric, best)  # type: ignore[arg-type]  # one of both, or None


def score(by: Judge, candidate: str, folder: Path) -> Score:
    """Run the program on the files in ``folder``. It runs where this process runs; what it prints is its own.

    A program that ends with an error, or prints no such number, is a failed candidate: the others may do better.
    """
    quoted = shlex.quote(str(folder))
    command = by.command.replace(f"'{PLACE}'", quoted).replace(PLACE, quoted)
    environment = {**os.environ, VARIABLE: str(folder)}
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    printed = done.stdout.decode("utf-8", "replace")
    if done.returncode:
        words = (done.stderr.decode("utf-8", "replace").strip() or printed.strip())[-_SAID:]
        return Score(candidate, failure=f"it ended with {done.returncode}{words and ': '}{words}")
    try:
        name, value = read(printed, by.metric)
    except UsageError as problem:
        return Score(candidate, failure=problem.message)
    if math.isnan(value):
        return Score(candidate, name, failure=f"{name} is not a number")
    return Score(candidate, name, value)


def read(printed: str, metric: str = "") -> tuple[str, float]:
    """The metric in what a program printed: the last line that is JSON, else the last ``name=value`` with that name.

    >>> read("epoch 1\\naccuracy=0.5\\naccuracy=0.9\\n")
    ('accuracy', 0.9)
    >>> read('{"accuracy": 0.9, "loss": 0.3}', "loss")
    ('loss', 0.3)

    Raises:
        UsageError: there is none, or it is not clear which is meant.
    """
    lines = [line.strip() for line in printed.splitlines() if line.strip()]
    numbers = next((found for line in reversed(lines) if (found := _json(line, metric))), None)
    if numbers is None or (metric and metric not in numbers):
        numbers = {name: number for line in lines if (pair := _pair(line)) for name, number in [pair]}
    if metric in numbers:
        return metric, numbers[metric]
    if metric or not numbers:
        what = f"no metric {metric!r}" if metric else "no metric"
        raise UsageError(f"it printed {what}", hint='print it last: {"accuracy": 0.9}, or accuracy=0.9')
    if len(numbers) > 1:
        raise UsageError(f"it printed several metrics: {', '.join(numbers)}", hint="name one with --metric")
    return next(iter(numbers.items()))


def _json(line: str, metric: str) -> dict[str, float] | None:
    """The numbers of a line of JSON, by name; a number alone has the name that is asked for."""
    try:
        value = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return None
    if isinstance(value, dict):
        return {name: float(number) for name, number in value.items() if _is_number(number)} or None
    return {metric or "metric": float(value)} if _is_number(value) else None


def _pair(line: str) -> tuple[str, float] | None:
    found = _PAIR.match(line)
    try:
        return (found[1], float(found[2])) if found else None
    except ValueError:
        return None


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def best(by: Judge, scores: Sequence[Score]) -> Score:
    """The best candidate; of equals the first.

    Raises:
        UsageError: all failed; says why the first did.
    """
    good = [one for one in scores if one.value is not None]
    if not good:
        why = scores[0].failure if scores else "there is none"
        raise UsageError(
            f"no candidate could be evaluated: {scores[0].candidate if scores else ''}: {why}",
            hint="try the command by hand on a version that lepton checkout wrote",
        )
    choose = max if by.better(good[0].metric) == "highest" else min
    return choose(good, key=lambda one: one.value or 0.0)
