"""``lepton versions``, also ``list-versions`` and ``list_versions``."""

from __future__ import annotations

from typing import Annotated

import typer

from lepton_ai.cli.group import Json, Repo, examples
from lepton_ai.cli.options import BranchOption, LimitOption, check_limit
from lepton_ai.cli.output import (
    ID_DIGITS,
    Column,
    human_size,
    local_time,
    note,
    pairs,
    print_json,
    print_table,
)
from lepton_ai.cli.session import opened
from lepton_ai.telling.versions import version_json
from lepton_ai.types import VersionInfo

WhereOption = Annotated[
    str,
    typer.Option(
        "--where",
        metavar="FILTER",
        help="Only what fits, \"metrics.accuracy > 0.9 AND author = 'ada'\" say (docs/search.md).",
        show_default=False,
    ),
]
OrderOption = Annotated[
    str,
    typer.Option(
        "--order-by",
        metavar="KEYS",
        help='In this order, "metrics.loss, created DESC" say; --limit then takes the first N.',
        show_default=False,
    ),
]
COLUMNS = (
    Column("Version", style="bold"),
    Column("Status"),
    Column("Branch", style="cyan"),
    Column("Created At"),
    Column("Updated At"),
    Column("Author", wrap=True),
    Column("Size", right=True),
    Column("Stored", right=True),
    Column("Id", style="bright_black"),
    Column("Metrics", wrap=True),
)


@examples(
    "lepton versions",
    "lepton versions -b feature --limit 10",
    'lepton versions --where "metrics.accuracy > 0.9 AND created > now() - 7d" --order-by metrics.loss',
    "lepton versions --json | jq '.[] | select(.metrics.accuracy > 0.9) | .name'",
)
def versions(
    branch: BranchOption = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Show deleted ones too.")] = False,
    limit: LimitOption = None,
    where: WhereOption = "",
    order_by: OrderOption = "",
    repo: Repo = None,
    as_json: Json = False,
) -> None:
    """List versions.

    All branches unless one is named; the oldest first, unless --order-by says otherwise. Size is that of the files as
    they were saved, Stored what they take in the repository; what several versions share is counted for each of them.
    """
    check_limit(limit)
    with opened(repo, as_json=as_json) as repository:
        found = repository.list_versions(branch, deleted=deleted, limit=limit, where=where, order_by=order_by)
    if as_json:
        print_json([version_json(info) for info in found])
    elif found:
        print_table(COLUMNS, (_row(info) for info in found))
    else:
        note("no version fits" if where else "there are no versions yet; lepton save FILE makes one")


def _row(info: VersionInfo) -> tuple[str, ...]:
    return (
        info.name,
        info.status,
        info.branch,
        local_time(info.created_at),
        local_time(info.updated_at),
        info.author,
        human_size(info.raw_bytes),
        human_size(info.stored_bytes),
        info.id[:ID_DIGITS],
        pairs(dict(info.metrics)),
    )
