"""The tools whose pushing and cloning is measured: each with a remote place of its own, reached over loopback."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Protocol

from peers.peer import Step, program, size
from services import S3, Files, Leptons, Lfs

MODEL = "model.safetensors"


class Place(Protocol):
    """A tool, its remote place, and a person who pushes from ``folder/work``."""

    name: str
    note: str

    def missing(self) -> str | None:
        """Why it cannot be measured here, or None."""

    def version(self) -> Step:
        """Print the tool's version."""

    def setup(self, folder: Path) -> list[Step]:
        """Make everything; not measured."""

    def commit(self, number: int) -> Step:
        """Keep the model that lies in ``work`` as version ``number``, locally; not measured."""

    def push(self, number: int) -> Step:
        """Bring it to the remote place."""

    def clone(self, target: Path) -> Step:
        """Get everything and the newest model, into the new folder ``target``."""

    def update(self, target: Path) -> Step:
        """Get what is new, and the newest model, into an older clone."""

    def held(self) -> int:
        """Bytes at the remote place."""

    def close(self) -> None:
        """End what was started."""


class Plain:
    """The yardstick: the file itself over HTTP, one PUT or one GET with curl."""

    name = "cp over HTTP"
    note = "curl, the plain file each time; a clone gets every version's"

    def missing(self) -> str | None:
        return None if program("curl") else "not installed (Debian: curl)"

    def version(self) -> Step:
        return Step((("curl", "--version"),), Path())

    def setup(self, folder: Path) -> list[Step]:
        self.work, self.there = folder / "work", folder / "there"
        self.there.mkdir()
        self.service = Files(self.there)
        return []

    def commit(self, number: int) -> Step:
        self.number = number
        return Step((("true",),), self.work)

    def push(self, number: int) -> Step:
        return Step((("curl", "-sSf", "-T", MODEL, f"{self.service.url}/v{number}"),), self.work)

    def clone(self, target: Path) -> Step:
        gets = (("curl", "-sSf", "-o", f"v{n}", f"{self.service.url}/v{n}") for n in range(1, self.number))
        return Step((*gets, *self.update(target).commands), target)

    def update(self, target: Path) -> Step:
        return Step((("curl", "-sSf", "-o", MODEL, f"{self.service.url}/v{self.number}"),), target)

    def held(self) -> int:
        return size([self.there])

    def close(self) -> None:
        self.service.close()


class Lepton:
    """This tool: a server with a folder, or with an S3 store behind it."""

    def __init__(self, tools: Path, *, s3: bool = False) -> None:
        self.name = "lepton, S3 behind" if s3 else "lepton"
        self.note = "lepton push / clone / pull + checkout, encrypted" + (
            "; packs straight to S3 (moto)" if s3 else ""
        )
        self.program = program(tools / "lepton/bin/lepton") or "lepton"
        self.s3 = s3
        self.store: S3 | None = None
        self.server: Leptons | None = None

    def missing(self) -> str | None:
        return None if program(self.program) else "not installed (install-peers.sh failed?)"

    def version(self) -> Step:
        return Step(((self.program, "--version"),), Path())

    def setup(self, folder: Path) -> list[Step]:
        self.work, self.folder = folder / "work", folder
        self.store = S3(folder / "s3") if self.s3 else None
        self.server = Leptons(self.program, folder / "server", self.store)
        self.url = url = f"{self.server.url}/ada/model"
        secret = (
            "/bin/sh",
            "-c",
            f'printf %s "$PASSWORD" | "$0" login {self.server.url} --user ada --password-stdin',
        )
        login = Step(((*secret, self.program),), self.work, {"PASSWORD": self.server.password})
        return [
            Step(((self.program, "init", "."),), self.work),
            login,
            Step(((self.program, "remote", "add", "origin", url),), self.work),
        ]

    def commit(self, number: int) -> Step:
        return Step(((self.program, "save", MODEL, "--name", f"s{number}"),), self.work)

    def push(self, number: int) -> Step:  # noqa: ARG002 (what is new is found)
        return Step(((self.program, "push"),), self.work)

    def clone(self, target: Path) -> Step:
        clone = (self.program, "clone", self.url, ".")
        return Step((clone, (self.program, "checkout", "main", "-o", ".")), target)

    def update(self, target: Path) -> Step:
        return Step(((self.program, "pull"), (self.program, "checkout", "main", "-o", ".")), target)

    def held(self) -> int:
        return self.store.held() if self.store else size([self.folder / "server/objects"])

    def close(self) -> None:
        for service in (self.server, self.store):
            if service:
                service.close()
        self.server = self.store = None


class DvcS3:
    """DVC with an S3 remote (moto), git in a bare repository beside it."""

    name = "DVC, S3 remote"
    note = "dvc push + git push / git clone + dvc pull"

    def __init__(self, tools: Path) -> None:
        self.program = program(tools / "dvc-s3/bin/dvc") or "dvc"

    def missing(self) -> str | None:
        return None if program(self.program) else "not installed (PyPI: dvc[s3])"

    def version(self) -> Step:
        return Step(((self.program, "--version"),), Path())

    def setup(self, folder: Path) -> list[Step]:
        self.work, self.bare = folder / "work", folder / "bare.git"
        self.store = S3(folder / "s3")
        dvc = self.program
        commands = (
            ("git", "init", "-q", "--bare", str(self.bare)),
            ("git", "init", "-q", "-b", "main"),
            ("git", "remote", "add", "origin", str(self.bare)),
            (dvc, "init", "-q"),
            (dvc, "config", "core.analytics", "false"),
            (dvc, "remote", "add", "-d", "store", f"s3://{self.store.bucket}/dvc"),
            (dvc, "remote", "modify", "store", "endpointurl", self.store.url),
            ("git", "commit", "-qam", "start"),
        )
        self.variables = self.store.variables
        return [Step(commands, self.work, self.variables)]

    def commit(self, number: int) -> Step:
        commands = (
            (self.program, "add", "-q", MODEL),
            ("git", "add", f"{MODEL}.dvc", ".gitignore"),
            ("git", "commit", "-qm", f"s{number}"),
        )
        return Step(commands, self.work, self.variables)

    def push(self, number: int) -> Step:  # noqa: ARG002 (what is new is found)
        commands = ((self.program, "push", "-q"), ("git", "push", "-q", "origin", "main"))
        return Step(commands, self.work, self.variables)

    def clone(self, target: Path) -> Step:
        commands = (
            ("git", "clone", "-q", "-b", "main", str(self.bare), "."),
            (self.program, "pull", "-q", "--all-commits"),
        )
        return Step(commands, target, self.variables)

    def update(self, target: Path) -> Step:
        return Step((("git", "pull", "-q"), (self.program, "pull", "-q")), target, self.variables)

    def held(self) -> int:
        return self.store.held()

    def close(self) -> None:
        self.store.close()


class GitLfs:
    """git-lfs with a server for its objects; git in a bare repository beside it."""

    name = "git-lfs"
    note = "git push / clone / pull; its objects over HTTP (batch API, basic transfers)"

    def missing(self) -> str | None:
        return None if program("git-lfs") else "not installed (Debian: git-lfs)"

    def version(self) -> Step:
        return Step((("git-lfs", "--version"),), Path())

    def setup(self, folder: Path) -> list[Step]:
        self.work, self.bare, self.there = folder / "work", folder / "bare.git", folder / "there"
        self.there.mkdir()
        self.service = Files(self.there, Lfs)
        commands = (
            ("git", "init", "-q", "--bare", str(self.bare)),
            ("git", "init", "-q", "-b", "main"),
            ("git", "lfs", "install"),
            ("git", "remote", "add", "origin", f"file://{self.bare}"),
            ("git", "config", "-f", ".lfsconfig", "lfs.url", self.service.url),
            ("git", "config", "--global", "lfs.locksverify", "false"),
            ("git", "config", "--global", f"lfs.{self.service.url}.locksverify", "false"),
            ("git", "lfs", "track", MODEL),
            ("git", "add", ".gitattributes", ".lfsconfig"),
            ("git", "commit", "-qm", "start"),
        )
        return [Step(commands, self.work)]

    def commit(self, number: int) -> Step:
        return Step((("git", "add", MODEL), ("git", "commit", "-qm", f"s{number}")), self.work)

    def push(self, number: int) -> Step:  # noqa: ARG002 (what is new is found)
        return Step((("git", "push", "-q", "origin", "main"),), self.work)

    def clone(self, target: Path) -> Step:
        commands = (
            ("git", "clone", "-q", "-b", "main", f"file://{self.bare}", "."),
            ("git", "lfs", "fetch", "--all", "origin"),
        )
        return Step(commands, target)

    def update(self, target: Path) -> Step:
        return Step((("git", "pull", "-q"),), target)

    def held(self) -> int:
        return size([self.there])

    def close(self) -> None:
        self.service.close()


def put(file: Path, work: Path) -> None:
    """Lay a version where the person works; a copy of its own, as training leaves it."""
    fresh = work / f".{MODEL}"
    shutil.copyfile(file, fresh)
    fresh.replace(work / MODEL)


def all_places(tools: Path) -> list[Place]:
    """Every tool; ``tools`` is where install-peers.sh put those that are Python packages."""
    return [Plain(), Lepton(tools), Lepton(tools, s3=True), DvcS3(tools), GitLfs()]
