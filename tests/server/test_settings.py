"""Settings: the file, then the environment, then flags."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from lepton_ai.errors import UsageError
from lepton_ai.server import settings


def test_each_wins_over_the_former(tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text(
        json.dumps({"port": 1, "workers": 2, "host": "10.0.0.1", "hosts": ["a"]})
    )
    environment = {
        "LEPTON_AI_SERVER_WORKERS": "3",
        "LEPTON_AI_SERVER_HOST": "10.0.0.2",
        "LEPTON_AI_SERVER_INSECURE": "yes",
    }
    found = settings.read(tmp_path, environment, {"host": "10.0.0.3", "port": None})
    assert (found.port, found.workers, found.host, found.hosts, found.insecure) == (
        1,
        3,
        "10.0.0.3",
        ("a",),
        True,
    )
    again = settings.convert(json.loads(settings.encode(found)))
    assert again == found


def test_without_anything_it_is_embedded_and_on_loopback(tmp_path: Path) -> None:
    found = settings.read(tmp_path, {})
    assert found.host == "127.0.0.1"
    assert found.database_url == f"sqlite:///{tmp_path / 'catalog.db'}"
    assert found.objects_url == f"file://{tmp_path / 'objects'}"
    assert found.answers_to == settings.LOOPBACK


@pytest.mark.parametrize(
    "told", [{"port": "x"}, {"prot": 1}, {"port": 70000}, {"workers": 0}, {"rate": 0}, {"timeout": "nan"}]
)
def test_a_value_that_cannot_be_is_refused(tmp_path: Path, told: dict[str, object]) -> None:
    (tmp_path / settings.FILE).write_text(json.dumps(told))
    with pytest.raises(UsageError):
        settings.read(tmp_path, {})


def test_workers_share_the_connections(tmp_path: Path) -> None:
    """PostgreSQL takes 97 as it comes."""

    def each(**flags: int) -> int:
        return settings.read(tmp_path, {}, flags).connections_each

    assert each() == each(workers=2) == settings.MOST_EACH
    assert each(workers=8) == 10
    assert all(workers * each(workers=workers) <= 90 for workers in range(1, 41))
    assert each(workers=8, connections=400) == settings.MOST_EACH
    with pytest.raises(UsageError, match=r"15 connections .* too few for 8 workers"):
        each(workers=8, connections=15)


def test_a_broken_file_is_refused_with_its_name(tmp_path: Path) -> None:
    (tmp_path / settings.FILE).write_text("{")
    with pytest.raises(UsageError, match=r"server\.json cannot be read"):
        settings.read(tmp_path, {})


def test_the_page_knows_every_setting() -> None:
    page = (Path(__file__).parent.parent.parent / "docs" / "server.md").read_text(encoding="utf-8")
    table = page.partition("## Settings")[2]
    names = {field.name for field in msgspec.structs.fields(settings.ServerSettings)} - {"folder"}
    assert [name for name in sorted(names) if f"`{name}`" not in table] == []
