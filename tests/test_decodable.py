"""No two threads work out a type of ours for msgspec, whoever decodes it first."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lepton_ai.decodable import ready

SOURCES = sorted((Path(__file__).parent.parent / "src" / "lepton_ai").rglob("*.py"))
CALLS = {"msgspec.json.decode": 9, "msgspec.msgpack.decode": 9, "msgspec.convert": 1}
"""What decodes, and the number of the argument that is the type (9: it is always named)."""
PLAIN = re.compile(r"(?:dict|list|tuple|str|int|float|bool|object|Any|None|[\[\], |])+")
"""Types of which msgspec has nothing to learn."""

_AT_ONCE = """
import threading, msgspec
from lepton_ai import wire
from lepton_ai.decodable import ready
from lepton_ai.history.refs.contract import Commit, LogEntry, Ref, VersionRow
from lepton_ai.types import Record

kinds = [wire.Upload, wire.Packs, wire.RepositoryInfo, wire.Keys, wire.Problem, Commit, list[Ref],
         list[VersionRow], list[tuple[int, VersionRow]], list[LogEntry], Record]
together = threading.Barrier(8)

def work():
    for kind in kinds:
        together.wait()
        try:
            msgspec.json.decode(b"{}", type=ready(kind))
        except msgspec.ValidationError:
            pass

threads = [threading.Thread(target=work) for _ in range(8)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print("alive")
"""


def _types(tree: ast.AST) -> Iterator[tuple[int, ast.expr]]:
    """Lines and types of what is decoded."""
    names = {alias.asname or alias.name: node.module for node in ast.walk(tree)
             if isinstance(node, ast.ImportFrom) and node.module == "msgspec" for alias in node.names}  # fmt: skip
    assert not {"convert"} & names.keys(), "say msgspec.convert, so that this test sees it"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        assert "Decoder" not in called.split("."), f"line {node.lineno}: decode with ready(Kind)"
        if called not in CALLS:
            continue
        named = [word.value for word in node.keywords if word.arg == "type"]
        for kind in named or node.args[CALLS[called] : CALLS[called] + 1]:
            yield node.lineno, kind


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_whoever_decodes_says_ready(path: Path) -> None:
    if path.name == "decodable.py" or "testing" in path.parts:
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    said = {
        target.id for node in ast.walk(tree) if isinstance(node, ast.Assign) and _is_ready(node.value)
        for target in node.targets if isinstance(target, ast.Name)
    }  # fmt: skip
    wrong = [
        f"{path.name}:{line}: {ast.unparse(kind)}" for line, kind in _types(tree)
        if not _is_ready(kind) and ast.unparse(kind) not in said and not PLAIN.fullmatch(ast.unparse(kind))
    ]  # fmt: skip
    assert not wrong


def _is_ready(kind: ast.expr) -> bool:
    return isinstance(kind, ast.Call) and ast.unparse(kind.func) == "ready"


class Slow:
    """Counts how often, and by how many at once, the annotations of a struct are looked at."""

    def __init__(self) -> None:
        self.now = self.most = self.times = 0
        self.pause = threading.Event()

    def __call__(self) -> type[int]:
        self.now, self.times = self.now + 1, self.times + 1
        self.most = max(self.most, self.now)
        self.pause.wait(0.05)  # others run meanwhile
        self.now -= 1
        return int


slow = Slow()


class Inner(msgspec.Struct):
    number: slow()  # type: ignore[valid-type]


class Outer(msgspec.Struct):
    inner: Inner


class Other(msgspec.Struct):
    inners: list[Inner]


def test_threads_wait_for_the_one_that_works_a_type_out() -> None:
    together, wrong = threading.Barrier(9), list[BaseException]()

    def work(kind: type[msgspec.Struct], text: bytes) -> None:
        together.wait()
        try:
            msgspec.json.decode(text, type=ready(kind))
        except BaseException as problem:  # noqa: BLE001  (shown to the test's own thread below)
            wrong.append(problem)

    kinds = [(Outer, b'{"inner": {"number": 1}}'), (Other, b'{"inners": []}'), (Inner, b'{"number": 2}')]
    threads = [threading.Thread(target=work, args=kinds[number % 3]) for number in range(9)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert (slow.most, slow.times) == (1, 1)


def test_what_travels_may_be_decoded_first_by_many_at_once() -> None:
    for _ in range(5):
        done = subprocess.run(
            [sys.executable, "-c", _AT_ONCE], capture_output=True, text=True, check=False, timeout=120
        )
        assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr
