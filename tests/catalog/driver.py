"""Scenarios of several processes on one database, in a program of their own, so that they may fork.

python -m tests.catalog.driver URL REPOSITORY FOLDER WORKERS COMMITS      prints what it saw as JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from tests.history.refs.racers import race


def main(url: str, repository: str, folder: str, workers: str, commits: str) -> None:
    catalog = Catalog(url, connections=3)  # made before the fork, used after it
    seen = race(lambda: CatalogHistory(catalog, int(repository)), Path(folder), int(workers), int(commits))
    catalog.close()
    print(json.dumps(seen), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
