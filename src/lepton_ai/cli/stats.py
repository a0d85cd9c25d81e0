"""``lepton stats``."""

from __future__ import annotations

from typing import Annotated

import typer
from msgspec.structs import asdict

from lepton_ai.cli import complete
from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, LimitOption, check_limit
from lepton_ai.cli.output import (
    Column,
    colours,
    human_size,
    note,
    plural,
    print_facts,
    print_json,
    print_table,
    say,
)
from lepton_ai.cli.session import opened
from lepton_ai.errors import NotFound, UsageError
from lepton_ai.history.stats import Parts, Stats, VersionStats
from lepton_ai.store.contract import CodecUse, Taken
from lepton_ai.telling import house

VERSIONS = (
    Column("Version", style="bold"),
    Column("Branch", style="cyan"),
    Column("Size", right=True),
    Column("Stored", right=True),
    Column("Ratio", right=True, style="green"),
    Column("Unique", right=True),
    Column("Shared", right=True),
    Column("Chain", right=True),
    Column("Longest", right=True),
    Column("Codecs", style="bright_black", wrap=True),
)
CODECS = (
    Column("Codec", style="bold"),
    Column("Objects", right=True),
    Column("Size", right=True),
    Column("Stored", right=True),
    Column("Ratio", right=True, style="green"),
)
PARTS = (Column("Where it is", style="bold"), Column("Stored", right=True), Column("Share", right=True))
BAR = Column("", style="cyan")
BAR_WIDTH = 24
TITLES = {
    "unique": "needed by one version",
    "shared": "needed by several",
    "deleted": "needed by deleted versions",
    "dead": "needed by none",
    "frames": "tables of packs",
    "index": "index",
    "history": "history",
    "keys": "keys",
    "other": "other",
}


@examples("lepton stats", "lepton stats v2", "lepton stats --json | jq .ratio")
def stats(
    version: Annotated[
        str | None,
        typer.Argument(
            metavar="[VERSION]",
            help="Only this version (default: all of them).",
            autocompletion=complete.versions,
            show_default=False,
        ),
    ] = None,
    branch: BranchOption = None,
    limit: LimitOption = None,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Show what the repository takes.

    In all, version by version, by codec, and where it lies. Unique is what deleting this version alone would free
    after gc; the rest of it is shared with others, or they stand on it. Chain is how many differences have to be opened
    to read a block.
    """
    check_limit(limit)
    if version is None and branch is not None:
        raise UsageError(
            "-b says where to look for VERSION, and none is named", hint="lepton versions -b lists a branch"
        )
    with opened(repo, as_json=as_json) as repository:
        meant = None if version is None else repository.info(repository.version(version, branch)).id
        found = repository.stats()
    shown = [one for one in found.versions if meant in (None, one.info.id)][-(limit or 0) :]
    if meant is not None and not shown:
        raise NotFound(f"{version} was deleted just now", hint="lepton versions lists what there is")
    if as_json:
        print_json(house.stats(found, shown))
    elif meant is not None:
        _print_version(shown[0])
    else:
        _print(found, shown)
    if found.unreadable:
        what = plural(found.unreadable, "file or attachment")
        note(
            f"{what} cannot be told from what nobody needs, for their descriptions are damaged; run lepton verify"
        )


def _print(found: Stats, shown: list[VersionStats]) -> None:
    packs = f"{human_size(found.pack_bytes)} of it in {plural(found.packs, 'pack')}"
    print_facts(
        (
            ("As saved", f"{human_size(found.raw_bytes)} in {plural(len(found.versions), 'version')}"),
            ("As stored", f"{human_size(found.stored_bytes)} in all, {packs}"),
            ("Ratio", f"{found.ratio:.2f}"),
            ("Chain", _chain(found.whole)),
        )
    )
    if shown:
        say("")
        print_table(VERSIONS, map(_row, shown))
    _print_codecs(found.whole.codecs)
    say("")
    _print_parts(found.parts, found.stored_bytes)


def _print_version(one: VersionStats) -> None:
    info, taken = one.info, one.taken
    print_facts(
        (
            ("Version", info.name),
            ("Branch", info.branch),
            ("As saved", human_size(info.raw_bytes)),
            ("As stored", f"{human_size(taken.stored_bytes)} in {plural(taken.blocks, 'block')}"),
            ("Ratio", f"{one.ratio:.2f}"),
            ("Unique", f"{human_size(taken.unique_bytes)}, what deleting it alone would free"),
            ("Shared", f"{human_size(taken.shared_bytes)}, which others need as well"),
            ("Chain", _chain(taken)),
        )
    )
    _print_codecs(taken.codecs)


def _row(one: VersionStats) -> tuple[str, ...]:
    info, taken = one.info, one.taken
    return (
        info.name,
        info.branch,
        human_size(info.raw_bytes),
        human_size(taken.stored_bytes),
        f"{one.ratio:.2f}",
        human_size(taken.unique_bytes),
        human_size(taken.shared_bytes),
        f"{taken.mean_chain:.1f}",
        str(taken.longest_chain),
        _choice(taken),
    )


def _chain(taken: Taken) -> str:
    return f"{taken.mean_chain:.1f} differences to open for a block, {taken.longest_chain} at most"


def _choice(taken: Taken) -> str:
    """The codecs by the bytes that they made; what is below one in a hundred is left out."""
    shares = ((use.codec, 100 * use.stored_bytes / (taken.stored_bytes or 1)) for use in taken.codecs)
    return ", ".join(f"{codec} {share:.0f}%" for codec, share in shares if share >= 1)


def _print_codecs(codecs: tuple[CodecUse, ...]) -> None:
    if codecs:
        say("")
        print_table(
            CODECS,
            (
                (
                    use.codec,
                    str(use.objects),
                    human_size(use.raw_bytes),
                    human_size(use.stored_bytes),
                    f"{use.raw_bytes / use.stored_bytes:.2f}",
                )
                for use in codecs
            ),
        )


def _print_parts(parts: Parts, total: int) -> None:
    """Where every byte is; on a terminal with a bar beside it."""
    bars = colours() is not None
    rows = []
    for name, size in asdict(parts).items():
        if size:
            share = size / total
            cells = (TITLES[name], human_size(size), f"{100 * share:.1f}%")
            rows.append((*cells, "█" * round(BAR_WIDTH * share)) if bars else cells)
    print_table((*PARTS, BAR) if bars else PARTS, rows)
