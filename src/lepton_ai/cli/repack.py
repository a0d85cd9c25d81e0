"""``lepton repack``."""

from __future__ import annotations

from typing import Annotated

import msgspec
import typer

from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.output import Column, human_size, plural, print_json, print_table, say
from lepton_ai.cli.session import opened
from lepton_ai.history.repack import Repacked, Shape
from lepton_ai.store.coder import LONGEST

WHAT = Column("", style="bold")
BEFORE = Column("Before", right=True)


@examples("lepton repack --dry-run", "lepton repack", "lepton repack --max-chain 4")
def repack(
    max_chain: Annotated[
        int,
        typer.Option(
            "--max-chain", metavar="N", help="Objects that may be opened to read one block: 1 is all in full."
        ),
    ] = LONGEST,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what it would bring, estimated.")
    ] = False,
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """Store what there is in fewer bytes and packs.

    Decides anew which blocks are kept in full and which as differences to which: the fewest bytes, with no chain of
    differences longer than --max-chain. A smaller N makes old versions faster to read and takes more bytes. The newest
    version of a branch is never made dearer to read. Garbage is left out, small packs are put together.
    """
    with opened(repo, as_json=as_json) as repository:
        done = repository.repack(max_chain=max_chain, dry_run=dry_run)
    if as_json:
        print_json(msgspec.to_builtins(done))
    else:
        _print(done)


def _print(done: Repacked) -> None:
    if done.recoded or done.rewritten or done.waiting:
        would = "would be " if done.dry_run else ""
        blocks = f"{plural(done.recoded, 'block')} {would}stored in another form"
        say(f"{blocks}, {plural(done.rewritten, 'pack')} {would}written anew")
        after = Column("After, estimated" if done.dry_run else "After", right=True)
        print_table((WHAT, BEFORE, after), _rows(done.before, done.after))
    else:
        now = done.after
        say(
            f"nothing to do: {human_size(now.bytes)} in {plural(now.packs, 'pack')}, "
            f"at most {plural(now.longest_chain, 'object')} to open for a block"
        )
    if done.waiting:
        say(f"packs left until what uses them has ended: {len(done.waiting)}; repeat lepton repack later")
    for other in done.running:
        say(f"nothing younger was touched than this, which runs: {other}")
    if done.unreadable:
        say(f"{plural(done.unreadable, 'block')} cannot be read and stay as they are: lepton verify")


def _rows(before: Shape, after: Shape) -> list[tuple[str, str, str]]:
    def cost(value: float) -> str:
        return f"{value:.2f}"

    return [
        ("Bytes in packs", human_size(before.bytes), human_size(after.bytes)),
        ("Needed by nothing", human_size(before.dead_bytes), human_size(after.dead_bytes)),
        ("Packs", str(before.packs), str(after.packs)),
        ("Objects", str(before.objects), str(after.objects)),
        ("Opened for a block, at most", str(before.longest_chain), str(after.longest_chain)),
        ("Decoded for a byte", cost(before.mean_chain), cost(after.mean_chain)),
        ("  of the newest version", cost(before.newest_cost), cost(after.newest_cost)),
        ("  of the oldest version", cost(before.oldest_cost), cost(after.oldest_cost)),
    ]
