"""``lepton show``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from lepton_ai.cli import exits
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, VersionArgument
from lepton_ai.cli.output import (
    ID_DIGITS,
    human_size,
    local_time,
    note,
    number,
    pairs,
    plural,
    print_facts,
    print_json,
    printable,
    say,
)
from lepton_ai.cli.session import opened
from lepton_ai.cli.show_merge import print_merge
from lepton_ai.errors import Damaged, LeptonError, NotFound
from lepton_ai.handles import Version
from lepton_ai.telling.versions import facts


@examples("lepton show v2", "lepton show production --json", "lepton show v2 --patch | git apply")
def show(
    version: VersionArgument,
    branch: BranchOption = None,
    patch: Annotated[
        bool, typer.Option("--patch", help="Print only the uncommitted changes of its git checkout.")
    ] = False,
    packages: Annotated[
        bool, typer.Option("--packages", help="Show the Python packages that were installed, too.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="Of a merge list every tensor and file, not only the first ones.")
    ] = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Show everything that a version carries.

    Files, params, metrics, training history, dataset, code, environment, author, message, parents, revisions, tags
    and aliases; of a merge what was asked, and what became of every tensor. Works for deleted versions too. What cannot
    be read is told, and the exit code is 5 when it is damage.
    """
    problems: list[LeptonError] = []
    with opened(repo, as_json=as_json) as repository:
        found = repository.version(version, branch, deleted=True)
        if patch:
            _print_patch(found)
            return exits.OK
        told = facts(repository, found, packages=packages, problems=problems)
    if as_json:
        print_json(told)
    else:
        _print(told, everything=everything)
        for problem in problems:
            note(str(problem))
    return exits.INTEGRITY if any(isinstance(problem, Damaged) for problem in problems) else exits.OK


def _print_patch(version: Version) -> None:
    patch = version.patch
    if not patch:
        raise NotFound(
            f"version {version.name!r} has no patch", hint="its git checkout was clean, or there was none"
        )
    typer.echo(patch, nl=False)


def _print(facts: dict[str, Any], *, everything: bool) -> None:
    history, operation = facts["history"], facts["operation"]
    source = f" of {operation['source'][:ID_DIGITS]}" if operation.get("source") else ""
    print_facts(
        (
            ("Version", f"{facts['branch']}@{facts['name']}"),
            ("Id", facts["id"]),
            ("Content id", facts["content_id"]),
            ("Status", facts["status"]),
            ("Revision", f"{facts['revision']} of {len(facts['revisions'])}"),
            ("Created At", local_time(facts["created_at"])),
            ("Updated At", local_time(facts["updated_at"])),
            ("Author", facts["author"]),
            ("Message", facts["message"]),
            ("Made by", operation["kind"] + source),
            ("Imported", _origin(operation)),
            ("Parents", " ".join(parent[:ID_DIGITS] for parent in facts["parents"])),
            ("Tags", " ".join(facts["tags"])),
            ("Aliases", " ".join(facts["aliases"])),
            ("Size", f"{human_size(facts['raw_bytes'])}, stored in {human_size(facts['stored_bytes'])}"),
            ("Metrics", pairs(facts["metrics"])),
            ("Params", pairs(facts["params"])),
            ("Dataset", _dataset(facts["dataset"])),
            ("Training", _curves(history)),
            ("Code", _code(facts["code"])),
            ("Environment", " on ".join((facts["environment"] or {}).values())),
        )
    )
    say("Files:")
    for file in facts["files"]:
        target = f" -> {file['target']}" if file.get("target") else ""
        kind = " (executable)" if file.get("executable") else ""
        digest, size = file["sha256"][:ID_DIGITS], human_size(file["size"])
        say(f"  {digest:<{ID_DIGITS}}  {size:>10}  {printable(file['path'] + target)}{kind}")
    if facts["merge"]:
        print_merge(facts["merge"], everything=everything)
    if "packages" in facts:
        say("Packages:")
        for name, version in facts["packages"].items():
            say(f"  {printable(name)} {printable(version)}")


def _origin(operation: dict[str, Any]) -> str:
    origin = operation.get("origin")
    if not origin:
        return ""
    missing = f", without {', '.join(origin['missing'])}" if origin.get("missing") else ""
    when = local_time(origin["at"])
    return (
        f"{operation['detail']}, {origin['kind']} in {origin['place']}, by {origin['by']} on {when}{missing}"
    )


def _dataset(dataset: dict[str, Any] | None) -> str:
    if dataset is None:
        return ""
    values = {key: value for key, value in dataset.items() if key not in ("preprocessing", "extra")}
    steps = " → ".join(dataset.get("preprocessing", ()))
    return pairs({**values, **dataset.get("extra", {})}) + (f" preprocessing: {steps}" if steps else "")


def _curves(history: dict[str, list[float]]) -> str:
    parts = [f"{name} {number(c[0])} → {number(c[-1])}" for name, c in history.items() if c]
    longest = max((len(curve) for curve in history.values()), default=0)
    return f"{plural(longest, 'epoch')}: {', '.join(parts)}" if parts else ""


def _code(code: dict[str, Any] | None) -> str:
    if not code:
        return ""
    changes = f", with uncommitted changes ({human_size(code['patch_bytes'])})" if code.get("dirty") else ""
    where = " ".join(part for part in (code.get("branch", ""), code.get("remote", "")) if part)
    return f"{code['commit'][:ID_DIGITS]} {where}".strip() + changes
