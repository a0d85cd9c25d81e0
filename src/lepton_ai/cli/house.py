"""``lepton gc`` and ``lepton verify``."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import asdict

from lepton_ai.cli import exits, inputs
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.output import human_size, plural, print_json, printable, say
from lepton_ai.cli.session import opened
from lepton_ai.history.collect import Report
from lepton_ai.history.verify import Damage, Verdict
from lepton_ai.telling import house

PACK_DIGITS = 16


@examples("lepton gc --dry-run", "lepton gc", "lepton gc --grace 30d")
def gc(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go, and how much.")] = False,
    grace: Annotated[
        str,
        typer.Option(
            "--grace", metavar="TIME", help="How long deleted versions stay restorable: 14d, 12h, 0."
        ),
    ] = "14d",
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Free what no living or restorable version needs.

    Nothing that a branch, tag or alias reaches, nothing deleted less than the grace period ago, and nothing that a
    running save has just written.
    """
    period = inputs.seconds(grace)
    with opened(repo, as_json=as_json) as repository:
        report = repository.gc(grace=period, dry_run=dry_run)
    if as_json:
        print_json(asdict(report))
    else:
        _print_report(report)


@examples("lepton verify", "lepton verify --fast", "lepton verify --json | jq .damages")
def verify(
    fast: Annotated[bool, typer.Option("--fast", help="Look at the structure only.")] = False,
    repo: Repo = None,
    as_json: Json = False,
) -> int:
    """Check that everything is what was saved.

    Reads, opens, decodes and hashes every stored byte; --fast looks at the structure only. Exits with 5 when something
    is damaged, and names the versions and tensors that it touches.
    """
    with opened(repo, as_json=as_json) as repository:
        verdict = repository.verify(fast=fast)
    if as_json:
        print_json(house.verdict(verdict))
    else:
        _print_verdict(verdict)
    return exits.OK if verdict.clean else exits.INTEGRITY


def _print_report(report: Report) -> None:
    would = "would free" if report.dry_run else "freed"
    count = plural(len(report.packs), "pack")
    say(f"{would} {human_size(report.bytes)} in {count}, {human_size(report.kept_bytes)} stay")
    if report.versions:
        gone = "would be gone for good" if report.dry_run else "are gone for good"
        say(f"deleted versions that {gone}: {', '.join(report.versions)}")
    if report.rewritten:
        say(f"packs copied without what is dead: {len(report.rewritten)}")
    if report.waiting:
        say(f"packs left until a running save has ended: {len(report.waiting)}; repeat lepton gc later")
    for other in report.running:
        say(f"nothing younger was touched than this, which runs: {other}")


def _print_verdict(verdict: Verdict) -> None:
    how = "structure" if verdict.fast else "every byte"
    seen = f"{plural(verdict.versions, 'revision')}, {plural(verdict.packs, 'pack')}, {human_size(verdict.bytes)}"
    if verdict.clean:
        say(f"clean: {how} of {seen} checked")
        return
    for damage in verdict.damages:
        say(f"damaged: {printable(_place(damage))}: {printable(damage.problem)}")
        for version, file, tensor in damage.touches:
            say(
                f"  touches {printable(version)}  {printable(file)}"
                + (f"  {printable(tensor)}" if tensor else "")
            )
    say(f"{plural(len(verdict.damages), 'damage')} found in {seen}; everything else can be read")
    if any(damage.touches for damage in verdict.damages):
        say("to repair it, save the same files once more, or bring a backup back: lepton restore-backup")
    elif all(damage.where.startswith("pack ") for damage in verdict.damages):
        say("no version is touched; lepton gc removes damaged copies after its grace period")


def _place(damage: Damage) -> str:
    kind, _, name = damage.where.partition(" ")
    return f"{kind} {name[:PACK_DIGITS]}" if kind == "pack" else damage.where
