"""Many people at a server of eight workers, for ten minutes: no error, no lost save, and it holds no more than before.

They list, search, compare, read parts of files, save, push and pull, move labels, listen to events and leave, and all
of it at once. ``LEPTON_AI_LOAD_SECONDS`` makes it shorter. The numbers are in ``build/load-….json``.
"""

from __future__ import annotations

import json
import os
import random
import resource
import secrets
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from lepton_ai import ModelRepository
from tests.mortal import mortal
from tests.server.load.models import model
from tests.server.load.visitor import Came, Errand, Kept
from tests.server.load.watching import Seen, Watch, look, machine, middle, workers_of
from tests.server.processes import Server, eventually, make, started
from tests.services import Service

SECONDS = float(os.environ.get("LEPTON_AI_LOAD_SECONDS", "600"))
BUILD = Path(__file__).parent.parent.parent / "build"
REPOSITORIES = ("ana/digits", "ana/letters", "ana/words")
STREAM = "/api/v1/events"
"""Its requests take as long as people listen."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(SECONDS * 2 + 900)]


def visitors(server: Server, count: int, folder: Path) -> list[Errand]:
    """People with logins of their own."""
    admin = httpx.Client(base_url=f"{server.address}/api/v1", headers=server.token(), timeout=60)
    errands = []
    for number in range(1, count + 1):
        name, password = f"user{number}", secrets.token_urlsafe(12)
        assert admin.post("/users", json={"name": name, "password": password}).status_code == 201
        body = {"user": name, "password": password, "token": {"name": "load", "scopes": ["read", "write"]}}
        token = httpx.post(f"{server.address}/api/v1/login/token", json=body, timeout=60).json()["secret"]
        place = folder / name
        errands.append(Errand(server.address, token, number, REPOSITORIES, place, SECONDS))
    admin.close()
    return errands


def visit(errands: list[Errand]) -> list[Came]:
    """Let all of them come at once, each as a process; what came of it."""
    running = []
    for errand in errands:
        own = {
            f"XDG_{kind}_HOME": str(errand.folder / kind.lower())
            for kind in ("CONFIG", "CACHE", "DATA", "STATE")
        }
        process = subprocess.Popen(
            mortal([sys.executable, "-m", "tests.server.load.visitor"]),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | own,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(msgspec.json.encode(errand, enc_hook=str).decode())
        process.stdin.close()
        process.stdin = None
        running.append(process)
    try:
        told = [process.communicate(timeout=SECONDS + 300)[0] for process in running]
        assert [process.returncode for process in running] == [0] * len(running)
    finally:
        for process in running:
            process.kill()
            process.wait()
    return [msgspec.json.decode(text, type=Came) for text in told]


def first_versions(server: Server) -> list[Kept]:
    """A version in each repository."""
    kept = []
    with httpx.Client(base_url=f"{server.address}/api/v1", headers=server.token(), timeout=60) as admin:
        for repository in REPOSITORIES:
            owner, _, name = repository.partition("/")
            body = {"owner": owner, "name": name}
            assert admin.post("/repositories", json=body).status_code == 201
            file = {"path": "model.safetensors", "content": _base64(model(repository, 0))}
            new = {"files": [file], "metrics": {"seed": 0, "loss": 1.0}}
            answer = admin.post(f"/repositories/{repository}/versions", json=new)
            assert answer.status_code == 201, answer.text
            kept.append(Kept(repository, answer.json()["id"], 0))
    return kept


def _base64(data: bytes) -> Any:
    return msgspec.to_builtins(data)


def check_kept(server: Server, kept: Iterable[Kept], folder: Path) -> None:
    """Every version that was confirmed is there, is whole, and holds what was saved."""
    by_repository: dict[str, list[Kept]] = defaultdict(list)
    for one in kept:
        by_repository[one.repository].append(one)
    for repository, those in by_repository.items():
        with ModelRepository(f"{server.address}/{repository}") as there:
            assert there.verify().clean
            known = {
                info.id: info.metrics["seed"] for info in there.list_versions() if "seed" in info.metrics
            }
            lost = [one for one in those if known.get(one.id) != one.seed]
            assert not lost, f"{len(lost)} of {len(those)} saves are lost"
            for one in random.Random(0).sample(those, min(20, len(those))):
                there.checkout(there.version(one.id), folder / "out", force=True)
                assert (folder / "out" / "model.safetensors").read_bytes() == model(repository, one.seed)


def spread(seconds: list[float]) -> dict[str, Any]:
    """How many, how long at the median and the 99th percentile, in milliseconds."""
    ordered = sorted(seconds)

    def at(share: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, int(len(ordered) * share))], 1)

    return {"count": len(ordered), "p50": at(0.5), "p99": at(0.99)}


def computed(watch: Watch, begun: tuple[float, float]) -> dict[str, float]:
    """Seconds that the workers and the people (and what else ended) computed, and how busy the machine was."""
    busy, had = (now - before for now, before in zip(machine(), begun, strict=True))
    workers = sum(looks[-1].computed - looks[0].computed for looks in watch.seen.values())
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = {
        "workers": workers,
        "people": ended.ru_utime + ended.ru_stime,
        "machine": busy,
        "busy": busy / had,
    }
    return {name: round(value, 2) for name, value in told.items()}


def report(
    name: str, lines: list[dict[str, Any]], came: list[Came], watch: Watch, begun: tuple[float, float]
) -> dict[str, Any]:
    """What is printed, and written to build/."""
    routes: dict[str, list[float]] = defaultdict(list)
    for line in lines:
        routes[f"{line['method']} {line['route']}"].append(line["seconds"])
    acts: dict[str, list[float]] = defaultdict(list)
    for each in came:
        for act, seconds in each.acts.items():
            acts[act] += seconds
    plain = [line["seconds"] for line in lines if line["route"] != STREAM]
    told: dict[str, Any] = {
        "seconds": SECONDS,
        "requests_per_second": round(len(lines) / SECONDS, 1),
        "all": spread(plain),
        "routes": {route: spread(found) for route, found in sorted(routes.items())},
        "acts": {act: spread(found) for act, found in sorted(acts.items())},
        "computed": computed(watch, begun),
        "saves": sum(len(each.kept) for each in came),
        "counted": dict(sum((Counter(each.counted) for each in came), Counter())),
        "workers": {str(process): msgspec.to_builtins(looks) for process, looks in watch.seen.items()},
    }
    BUILD.mkdir(exist_ok=True)
    (BUILD / f"load-{name}.json").write_text(json.dumps(told, indent=1))
    print(f"\n{name}: {told['requests_per_second']} requests/s, {told['saves']} saves")
    print(f"  seconds of computing: {told['computed']}\n  ms:")
    for route, found in ({"all": told["all"]} | told["routes"] | told["acts"]).items():
        print(f"  {route:75} {found['count']:7} p50 {found['p50']:8} p99 {found['p99']:8}")
    return told


def check_flat(watch: Watch) -> None:
    """No worker holds more at the end than workers that had warmed up.

    Judged by medians of what is looked at each second, so that one large answer does not count: memory that no file
    backs in the last fifth of the time, against the third fifth (threads and caches are there by then) of the worker
    that held most (a worker grows in steps, when it first meets what another met before), may be a tenth and 12 MiB
    more (an index of what was saved meanwhile); open files a few.
    """
    fifth = min(len(looks) for looks in watch.seen.values()) // 5
    before = max(middle(looks[2 * fifth : 3 * fifth], "anonymous") for looks in watch.seen.values())
    for process, looks in watch.seen.items():
        warm, last = looks[2 * fifth : 3 * fifth], looks[-fifth:]
        after = middle(last, "anonymous")
        assert after <= before * 1.1 + (12 << 20), (
            f"{process}: {before / 2**20:.0f} → {after / 2**20:.0f} MiB"
        )
        assert middle(last, "descriptors") <= middle(warm, "descriptors") + 12, process


def check_let_go(before: dict[int, Seen], server: Server) -> None:
    """When all have left, connections of clients are gone: what is open is the database's pool and what stays open."""
    httpx.get(f"{server.address}/healthz")
    for process, seen in before.items():

        def gone(process: int = process, allowed: int = seen.descriptors + DESCRIPTORS) -> bool:
            now = look(process)
            assert now is not None, "a worker died"
            return now.descriptors <= allowed

        eventually(gone)


DESCRIPTORS = 10 + 3 * len(REPOSITORIES) + 4
"""What a worker may keep open behind its first answers: connections to the database, files of open repositories."""


def run(name: str, server: Server, workers: int, people: int, folder: Path) -> None:
    first = first_versions(server)
    processes = workers_of(server.process.pid)
    assert len(processes) == workers
    before = {process: seen for process in processes if (seen := look(process)) is not None}
    begun = machine()
    with Watch(processes) as watch:
        came = visit(visitors(server, people, folder))
    lines = [line for line in server.lines() if "route" in line]
    told = report(name, lines, came, watch, begun)
    wrong = [each for one in came for each in one.wrong]
    assert not wrong, "\n".join([f"{len(wrong)} went wrong", *wrong[:20]])
    assert [line for line in lines if line["status"] >= 500] == []
    assert [line for line in server.lines() if line["level"] == "error"] == []
    assert workers_of(server.process.pid) == processes, "a worker died"
    assert {line["process"] for line in lines} == set(processes), "not all workers took part"
    assert told["saves"] > 0
    check_kept(server, [*first, *(kept for one in came for kept in one.kept)], folder)
    check_flat(watch)
    check_let_go(before, server)


def test_eight_workers_over_postgresql_and_s3(
    postgresql: Service, s3_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--database", postgresql.fresh(), "--objects", s3_url)
    with started(make(tmp_path / "server", *flags), "--workers", "8") as server:
        monkeypatch.setenv("LEPTON_AI_TOKEN", server.token()["Authorization"].removeprefix("Bearer "))
        run("postgresql-s3", server, 8, 8, tmp_path)


def test_three_workers_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with started(make(tmp_path / "server"), "--workers", "3") as server:
        monkeypatch.setenv("LEPTON_AI_TOKEN", server.token()["Authorization"].removeprefix("Bearer "))
        run("sqlite-folder", server, 3, 4, tmp_path)
