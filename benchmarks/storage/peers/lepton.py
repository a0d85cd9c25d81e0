"""Lepton AI, as the command line is used."""

from __future__ import annotations

import sys
from pathlib import Path

from peers.peer import Step, program, size


class Lepton:
    """The repository lies in ``work``, beside the model. A version of another lineage goes to a branch of its own."""

    def __init__(self, name: str, tools: Path, *, encrypt: bool = True, kernel: bool = True) -> None:
        self.name = name
        self.note = ", ".join(
            (
                "AES-256-GCM" if encrypt else "--no-encrypt",
                "the compiled kernel if it is built" if kernel else "LEPTON_AI_NO_KERNEL=1",
            )
        )
        self.encrypt = encrypt
        self.variables = {} if kernel else {"LEPTON_AI_NO_KERNEL": "1"}
        self.program = program(
            tools / "lepton/bin/lepton", Path(sys.executable).with_name("lepton"), "lepton"
        )

    def missing(self) -> str | None:
        return None if self.program else "no `lepton` beside this Python"

    def version(self) -> Step:
        return self._step(Path(), ("--version",))

    def setup(self, folder: Path) -> Step:
        self.work = folder / "work"
        self.names: dict[int, tuple[str, str]] = {}
        """(branch, version) of each saved number."""
        self.heads: dict[str, int] = {}
        return self._step(self.work, ("init", *(() if self.encrypt else ("--no-encrypt",))))

    def save(self, file: Path, number: int, parent: int) -> Step:
        branch = self.names[parent][0] if parent else "main"
        new = bool(parent) and self.heads[branch] != parent
        commands: list[tuple[str, ...]] = []
        if new:
            commands.append(("branch", f"from-{number}", "--from", "@".join(self.names[parent])))
            branch = f"from-{number}"
        self.names[number], self.heads[branch] = (branch, f"s{number}"), number
        commands.append(("save", file.name, "--branch", branch, "--name", f"s{number}"))
        return self._step(file.parent, *commands)

    def restore(self, number: int, target: Path) -> Step:
        return self._step(self.work, ("checkout", "@".join(self.names[number]), "--output", str(target)))

    def stored(self) -> int:
        return size([self.work / ".lepton"])

    def _step(self, folder: Path, *commands: tuple[str, ...]) -> Step:
        return Step(tuple((self.program or "lepton", *rest) for rest in commands), folder, self.variables)
