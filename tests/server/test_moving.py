"""An embedded server's data goes to a database server and an object store, whole, whenever it is broken off."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from msgspec.structs import replace
from safetensors.numpy import save_file

from lepton_ai import wire
from lepton_ai.catalog import moving as moving_rows
from lepton_ai.catalog import people, repositories, walking
from lepton_ai.catalog.database import Catalog
from lepton_ai.catalog.refs import CatalogHistory
from lepton_ai.cli.app import run
from lepton_ai.errors import AlreadyExists, Busy, Damaged, LeptonError, Unsupported, UsageError
from lepton_ai.history import states
from lepton_ai.history.lines import MAIN
from lepton_ai.history.refs.contract import ABSENT, Commit, Move
from lepton_ai.server import keeping_keys, moving
from lepton_ai.server.holding import held
from lepton_ai.server.homes import Homes
from lepton_ai.server.settings import ServerSettings
from lepton_ai.store.blobs.local import LocalBlobs
from lepton_ai.store.blobs.objects import open_objects
from tests.services import Service

NAMES = [("ada", "digits"), ("bob", "letters")]


def homes_of(settings: ServerSettings) -> Homes:
    catalog = Catalog(settings.database_url)
    return Homes(catalog, open_objects(settings.objects_url), settings.cache_folder, settings.key_file)


def closed(homes: Homes) -> None:
    homes.close()
    homes.catalog.close()


def first_branch(history: CatalogHistory, actor: str) -> None:
    branch = states.encode(states.BranchState("0" * 16, created_at=1, created_by=actor))
    line = Move(f"line/{'0' * 16}", ABSENT, states.encode(states.LineState(MAIN)), logged=False)
    history.commit(Commit(actor, "create", at=1, moves=(Move(f"branch/{MAIN}", ABSENT, branch), line)))


def model(folder: Path, number: int) -> Path:
    rng = np.random.default_rng(number)
    path = folder / "model.safetensors"
    save_file({"weight": rng.normal(size=(64, 64 + number)).astype(np.float32)}, path)
    return path


def test_a_server_that_runs_is_not_moved(server: ServerSettings, tmp_path: Path) -> None:
    """What is pushed meanwhile would be listed in the new place, without its bytes."""
    with held(server.folder), pytest.raises(Busy, match="runs"):
        moving.move(server, f"sqlite:///{tmp_path / 'new.db'}", f"file://{tmp_path / 'new'}")
    assert not (tmp_path / "new.db").exists()
    moving.move(server, f"sqlite:///{tmp_path / 'new.db'}", f"file://{tmp_path / 'new'}")


@pytest.fixture
def server(tmp_path: Path) -> ServerSettings:
    """An embedded server with people, and two repositories of three versions each."""
    settings = ServerSettings(folder=tmp_path / "server")
    settings.folder.mkdir()
    with_tables = Catalog(settings.database_url)
    with_tables.migrate()
    people.add_user(with_tables, "ada", "correct horse battery", admin=True)
    with_tables.close()
    homes = homes_of(settings)
    for owner, name in NAMES:
        new = keeping_keys.complete(wire.NewRepository(owner, name), settings.key_file)
        row = repositories.create(homes.catalog, new, owner)
        repo = homes.open(row, author=owner)
        first_branch(homes.history(row), owner)
        for number in range(3):
            repo.save_files(model(tmp_path, number), "main", metrics={"accuracy": number / 10})
    closed(homes)
    return settings


@pytest.fixture(params=["postgresql", "mariadb"])
def target(
    request: pytest.FixtureRequest, server: ServerSettings, s3_url: str, tmp_path: Path
) -> ServerSettings:
    service: Service = request.getfixturevalue(request.param)
    return replace(server, database=service.fresh(), objects=s3_url, cache=tmp_path / "elsewhere")


def checkout(settings: ServerSettings, into: Path) -> dict[str, str]:
    """Every version of every repository: name → SHA-256 of the model that comes out."""
    homes, found = homes_of(settings), {}
    for owner, name in NAMES:
        repo = homes.open(repositories.find(homes.catalog, owner, name))
        for version in repo.list_versions():
            folder = into / owner / version.name
            repo.checkout(version.name, folder)
            file = next(folder.glob("model*"))
            found[f"{owner}/{name}@{version.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    closed(homes)
    return found


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).digest()
        for path in folder.rglob("*")
        if path.is_file() and "cache" not in path.parts and path.name != "catalog.db-journal"
    }


def test_a_server_is_moved(server: ServerSettings, target: ServerSettings, tmp_path: Path) -> None:
    before = checkout(server, tmp_path / "before")
    assert len(before) == 6
    with held(server.folder):
        pass  # it has been running: its lock is there
    kept = files(server.folder)
    moved = moving.move(server, target.database, target.objects)
    assert files(server.folder) == kept
    assert checkout(target, tmp_path / "after") == before
    rows = {one.table: one.rows for one in moved.tables}
    assert (rows["repositories"], rows["users"], moved.there_before) == (2, 1, 0)
    assert moved.packs == rows["packs"] == len(list(open_objects(target.objects).list("repositories/")))
    # It goes on there: numbers that were given are not given again.
    homes = homes_of(target)
    row = repositories.find(homes.catalog, *NAMES[0])
    repo = homes.open(row, author="ada")
    saved = repo.save_files(model(tmp_path, 9), "main")
    assert saved.name == "v4"
    new = repositories.create(homes.catalog, wire.NewRepository("ada", "third"), "ada")
    assert new.number > row.number
    assert people.add_user(homes.catalog, "eve", "another long password").number > 1
    closed(homes)
    with pytest.raises(AlreadyExists, match="has something in it"):
        moving.move(server, target.database, target.objects)


class Killed(BaseException):
    """Whatever was going on ends here."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Have the move end at its Nth step: a pack, or some rows."""
    left = [0]

    def wrapped(act: Any) -> Any:
        def step(*arguments: Any) -> Any:
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            return act(*arguments)

        return step

    monkeypatch.setattr(moving, "_move_pack", wrapped(moving._move_pack))
    monkeypatch.setattr(moving_rows, "_insert", wrapped(moving_rows._insert))
    monkeypatch.setattr(moving_rows, "_compare", wrapped(moving_rows._compare))
    monkeypatch.setattr(walking, "BATCH", 2)
    return lambda steps: left.__setitem__(0, steps)


def test_a_move_that_was_broken_off_is_gone_on_with(
    server: ServerSettings, target: ServerSettings, tmp_path: Path, dying: Callable[[int], None]
) -> None:
    before = checkout(server, tmp_path / "before")
    deaths = 0
    while True:
        dying(7 + deaths % 3)  # each try gets a little further: what was moved stays
        try:
            moved = moving.move(server, target.database, target.objects)
        except Killed:
            deaths += 1
            assert deaths < 200
            catalog = Catalog(target.database)
            with pytest.raises(Unsupported):
                catalog.check()  # no server works with half of it
            catalog.close()
            if deaths == 30:
                dying(0)
                moved = moving.move(server, target.database, target.objects)
                break
        else:
            break
    assert deaths > 3
    assert moved.there_before > 0
    assert checkout(target, tmp_path / "after") == before


def test_half_a_move_of_another_server_is_left_alone(
    server: ServerSettings, target: ServerSettings, tmp_path: Path, dying: Callable[[int], None]
) -> None:
    dying(20)  # some rows are there
    with pytest.raises(Killed):
        moving.move(server, target.database, target.objects)
    other = ServerSettings(folder=tmp_path / "other")
    other.folder.mkdir()
    empty = Catalog(other.database_url)
    empty.migrate()
    empty.close()
    dying(0)
    with pytest.raises(AlreadyExists, match="another server"):
        moving.move(other, target.database, target.objects)
    catalog = Catalog(target.database)
    with pytest.raises(Unsupported, match="not all of it is there"):
        catalog.migrate()
    catalog.close()


def test_a_source_that_changed_in_between_is_told(
    server: ServerSettings, target: ServerSettings, dying: Callable[[int], None]
) -> None:
    dying(10_000)
    moved = moving_rows.move
    source = Catalog(server.database_url)
    goal = Catalog(target.database)
    moved(source, goal)
    # as if it had been broken off before the end, and the source's server had gone on
    goal.close()
    source.close()
    fresh = Catalog(target.database)
    with fresh.writing() as connection:
        moving_rows._MARK.create(connection)
        connection.execute(moving_rows._MARK.insert(), {"source": None})
    source = Catalog(server.database_url)
    repositories.change(source, 1, description="changed meanwhile")
    with pytest.raises(Damaged, match="not the same"):
        moved(source, fresh)
    source.close()
    fresh.close()


def test_a_damaged_pack_is_told_and_not_moved(server: ServerSettings, target: ServerSettings) -> None:
    pack = next((server.folder / "objects").rglob("*.pack"))
    data = bytearray(pack.read_bytes())
    data[len(data) // 2] ^= 1
    pack.chmod(0o600)
    pack.write_bytes(data)
    with pytest.raises(Damaged, match=r"not what its name says.*lepton verify"):
        moving.move(server, target.database, target.objects)
    pack.unlink()
    with pytest.raises(Damaged, match="listed, but not there"):
        moving.move(server, target.database, target.objects)
    catalog = Catalog(target.database)
    with pytest.raises(LeptonError):
        catalog.check()
    catalog.close()


def test_it_is_not_moved_to_itself(server: ServerSettings) -> None:
    with pytest.raises(UsageError, match="the same"):
        moving.move(server, server.database_url, "memory://elsewhere")
    with pytest.raises(UsageError, match="the same"):
        moving.move(server, "postgresql://x/y", server.objects_url)
    assert isinstance(open_objects(server.objects_url), LocalBlobs)


def test_the_command(server: ServerSettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (server.folder / "server.json").write_text("{}")
    before = checkout(server, tmp_path / "before")
    there = replace(server, database=f"sqlite:///{tmp_path}/there.db", objects=f"file://{tmp_path}/there")
    words = ["server", "migrate-data", "--from", str(server.folder), "--json"]
    told = ["--to-database", there.database, "--to-objects", there.objects]
    assert run([*words, *told]) == 0
    moved = json.loads(capsys.readouterr().out)
    assert moved["packs"] > 0
    assert {one["table"] for one in moved["tables"]} >= {"refs", "log", "versions", "users"}
    assert checkout(replace(there, cache=tmp_path / "elsewhere"), tmp_path / "after") == before
    for wrong, code in ((words, 2), ([*words[:3], str(tmp_path), *told], 2), ([*words, *told], 2)):
        assert run(wrong) == code
        assert "password" not in capsys.readouterr().err
