"""``lepton keys`` and its commands."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import typer

from lepton_ai.cli import asking, exits
from lepton_ai.cli.group import Group, Json, Repo, examples
from lepton_ai.cli.output import Column, local_time, note, print_json, print_table, say
from lepton_ai.cli.session import opened
from lepton_ai.cli.table import Entry
from lepton_ai.errors import Damaged, LeptonError, Unsupported, UsageError
from lepton_ai.history.home import Home
from lepton_ai.history.record import timestamp
from lepton_ai.repository import ModelRepository
from lepton_ai.store.seal.envelopes import BY_KEY_FILE, BY_PASSPHRASE, BY_RECOVERY, Envelope, envelopes
from lepton_ai.store.seal.keyring import Keyring, open_keys

SECTION = "Keys"
ENTRIES = (
    Entry("add-passphrase", "keys:add_passphrase", "Let a passphrase open the repository.", SECTION),
    Entry("add-key-file", "keys:add_key_file", "Write one more key file.", SECTION),
    Entry("add-recovery", "keys:add_recovery", "Write one more recovery key.", SECTION),
    Entry("remove", "keys:remove", "Take a way in away.", SECTION),
    Entry("rotate", "keys:rotate", "Seal with a new key from now on.", SECTION),
    Entry("recover", "keys:recover", "Make a key file again from the recovery key.", SECTION),
)
COLUMNS = (Column("Name", style="bold"), Column("Kind"), Column("Made At"))
NameOption = Annotated[
    str | None, typer.Option("--name", metavar="NAME", help="What to call this way in.", show_default=False)
]
StdinOption = Annotated[
    bool,
    typer.Option(
        "--passphrase-stdin", help="Read the passphrase from the first line of stdin instead of asking."
    ),
]


@examples("lepton keys", "lepton keys recover --recovery-file digits.recovery", "lepton keys rotate")
def keys(context: typer.Context, repo: Repo = None, as_json: Json = False) -> int:
    """List, add, remove, rotate and recover keys.

    A repository's own keys are wrapped in envelopes, and each envelope is a way in: a key file, a recovery key, a
    passphrase. Without a command the envelopes are listed; one that cannot be read is named, and the exit code tells.
    """
    if context.invoked_subcommand is not None:
        return exits.OK
    with opened(repo, as_json=as_json) as repository:
        found = envelopes(_folder(repository))
        encrypted = repository.home.config.encrypted
    told = [_listed(name, envelope) for name, envelope in found.items()]
    broken = {name: problem for name, problem in found.items() if isinstance(problem, LeptonError)}
    if as_json:
        print_json(told)
    elif encrypted:
        rows = [(e["name"], e["kind"], e["created_at"]) for e in told if e["problem"] is None]
        print_table(COLUMNS, ((name, kind, local_time(at) if at else "") for name, kind, at in rows))
    else:
        note("this repository is not encrypted: it has no keys")
    for name, problem in broken.items():
        note(f"{name} opens nothing: {problem.message}; {_way_out(name, problem)}")
    return max((exits.exit_code(problem) for problem in broken.values()), default=exits.OK)


@examples("lepton keys add-passphrase", "pass show digits | lepton keys add-passphrase --passphrase-stdin")
def add_passphrase(
    name: NameOption = None, passphrase_stdin: StdinOption = False, repo: Repo = None, as_json: Json = False
) -> None:
    """Let a passphrase open the repository.

    With it, lepton keys recover --passphrase makes a key file on any computer.
    """
    with _ring(repo, as_json=as_json) as ring:
        passphrase = asking.passphrase(stdin=passphrase_stdin, twice=True)
        made = name or _free(ring, BY_PASSPHRASE)
        ring.wrap_with_passphrase(passphrase, name=made)
    _tell({"name": made, "kind": BY_PASSPHRASE}, f"added passphrase {made}", as_json=as_json)


@examples("lepton keys add-key-file ci.key --name ci", "LEPTON_AI_KEY_FILE=ci.key lepton checkout production")
def add_key_file(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write it.")],
    name: NameOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Write one more key file.

    For a machine or a colleague; LEPTON_AI_KEY_FILE names it there. It can be removed alone.
    """
    with _ring(repo, as_json=as_json) as ring:
        made = name or _free(ring, BY_KEY_FILE)
        place = ring.wrap_with_key_file(Path(file).expanduser(), name=made)
    told = {"name": made, "kind": BY_KEY_FILE, "file": str(place)}
    _tell(told, f"added key file {made}: {place}", as_json=as_json)


@examples("lepton keys add-recovery /media/usb/digits.recovery")
def add_recovery(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Where to write it.")],
    name: NameOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Write one more recovery key."""
    place = Path(file).expanduser()
    with _ring(repo, as_json=as_json) as ring:
        made = name or _free(ring, BY_RECOVERY)
        ring.wrap_with_recovery_key(place, name=made)
    told = {"name": made, "kind": BY_RECOVERY, "file": str(place)}
    _tell(told, f"added recovery key {made}: {place}", as_json=as_json)


@examples("lepton keys remove ci")
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As lepton keys lists it.")],
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Take a way in away.

    Whoever opened the repository with it before may have kept the keys: this takes nothing back. The last one stays.
    """
    with _ring(repo, as_json=as_json) as ring:
        ring.remove_envelope(name)
    _tell({"removed": name}, f"removed {name}", as_json=as_json)


@examples("lepton keys rotate")
def rotate(repo: Repo = None, as_json: Json = False) -> None:
    """Seal with a new key from now on.

    What is stored already stays readable; the ways in stay the same.
    """
    with _ring(repo, as_json=as_json) as ring:
        key = ring.rotate()
    _tell({"sealing_key": key}, f"new models are sealed with key {key} from now on", as_json=as_json)


@examples(
    "lepton keys recover --recovery-file digits.recovery",
    "lepton keys recover --passphrase",
    "lepton keys recover --recovery-file -",
)
def recover(
    recovery_file: Annotated[
        str | None,
        typer.Option(
            "--recovery-file",
            metavar="FILE",
            help="The file with the recovery key; - reads a key that you type.",
            show_default=False,
        ),
    ] = None,
    passphrase: Annotated[bool, typer.Option("--passphrase", help="Ask for the passphrase instead.")] = False,
    passphrase_stdin: StdinOption = False,
    key_file: Annotated[
        str | None,
        typer.Option(
            "--key-file",
            metavar="FILE",
            help="Where to write the key file (default: in your config folder).",
            show_default=False,
        ),
    ] = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Make a key file again from the recovery key.

    On a new computer, or when the key file is lost. The old ways in stay; lepton keys remove takes one away.
    """
    by_passphrase = passphrase or passphrase_stdin
    if by_passphrase == (recovery_file is not None):
        raise UsageError(
            "the way in is not named", hint="one of --recovery-file FILE, --passphrase, --passphrase-stdin"
        )
    with opened(repo, as_json=as_json) as repository:
        if by_passphrase:
            secret = asking.passphrase(stdin=passphrase_stdin, twice=False)
            ring = open_keys(_folder(repository), _id(repository), passphrase=secret)
        else:
            with asking.recovery_file(recovery_file or "-", _id(repository)) as place, asking.key_file(place):
                ring = open_keys(_folder(repository), _id(repository))
        made = _free(ring, f"{BY_KEY_FILE}-{os.uname().nodename}")
        written = ring.wrap_with_key_file(Path(key_file).expanduser() if key_file else None, name=made)
    told = {"name": made, "kind": BY_KEY_FILE, "file": str(written)}
    _tell(told, f"made key file {written}", as_json=as_json)


GROUP = Group(ENTRIES, keys)


def _listed(name: str, envelope: Envelope | LeptonError) -> dict[str, Any]:
    """An envelope as it is listed; of one that cannot be read its name, and why."""
    if isinstance(envelope, LeptonError):
        return {"name": name, "kind": None, "created_at": None, "problem": envelope.message}
    try:
        at = timestamp(envelope.created_at * 1_000_000)
    except (ValueError, OverflowError, OSError):  # no year that there is: it opens all the same
        at = None
    return {"name": name, "kind": envelope.kind, "created_at": at, "problem": None}


def _way_out(name: str, problem: LeptonError) -> str:
    if isinstance(problem, Damaged):
        return f"put .lepton/keys/envelope-{name}.json back from a backup, or lepton keys remove {name}"
    return problem.hint or "then repeat"


@contextmanager
def _ring(repo: str | None, *, as_json: bool) -> Iterator[Keyring]:
    """The opened keys of an encrypted repository, in a folder: there they are changed.

    Raises:
        Unsupported: it is not encrypted, or at an address.
    """
    with opened(repo, as_json=as_json) as repository:
        _id(repository)
        if not isinstance(repository.home, Home):
            raise Unsupported(
                f"the keys of {repository.home.named} are not changed from here",
                hint="change them in a clone; lepton push brings a rotated key along",
            )
        yield repository.home.keyring


def _folder(repository: ModelRepository) -> Path:
    return repository.home.keys


def _id(repository: ModelRepository) -> str:
    """The repository's id.

    Raises:
        Unsupported: it is not encrypted.
    """
    if not repository.home.config.encrypted:
        raise Unsupported("this repository is not encrypted: it has no keys", hint="nothing needs to be done")
    return repository.home.config.id


def _free(ring: Keyring, stem: str) -> str:
    """A name for a new envelope that is not taken."""
    stem = re.sub(r"[^A-Za-z0-9_-]", "-", stem)[:56]
    taken = ring.envelopes()
    names = (stem if number == 1 else f"{stem}-{number}" for number in count(1))
    return next(name for name in names if name not in taken)


def _tell(told: dict[str, str], text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(told)
    else:
        say(text)
