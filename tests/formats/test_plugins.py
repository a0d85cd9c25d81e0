"""Plugins: what importlib.metadata finds, and no difference that anybody could see."""

from __future__ import annotations

import sys
import zipfile
from importlib.metadata import DistributionFinder, PathDistribution, entry_points
from pathlib import Path

import pytest

from lepton_ai.formats.plugins import Plugin, plugins

GROUP = "lepton_ai.formats"
READERS = """
[console_scripts]
tool = stranger.tool:main

[lepton_ai.formats]
# a comment
first=stranger.first:FORMAT
  second  =  stranger.second : Reader.FORMAT [fast]

[other]
third = stranger.third:FORMAT
"""

INFO = "Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n"


def found(group: str = GROUP) -> dict[str, str]:
    return {plugin.name: plugin.value for plugin in plugins(group)}


def expected(group: str = GROUP) -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=group)}


def install(place: Path, folder: str, text: str = READERS) -> None:
    (place / folder).mkdir(parents=True)
    (place / folder / "entry_points.txt").write_text(text)
    (place / folder / "PKG-INFO").write_text(INFO)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands first on the path."""
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


@pytest.mark.parametrize("group", [GROUP, "lepton_ai.frameworks", "console_scripts", "pytest11", "nobody"])
def test_here_are_the_same_as_the_standard_library_finds(group: str) -> None:
    assert found(group) == expected(group)
    assert [plugin.name for plugin in plugins(group)] == sorted(found(group))


@pytest.mark.parametrize(
    "folder", ["stranger-1.0.dist-info", "Stranger.egg-info", "stranger-1.0-py3.egg-info"]
)
def test_a_strangers_are_found(place: Path, folder: str) -> None:
    install(place, folder)
    assert {"first", "second", "safetensors"} <= found().keys()
    assert found() == expected()
    assert "third" not in found()


def test_of_two_installations_the_first_on_the_path_counts(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(place / "old", "a_Stranger-1.0.dist-info", READERS.replace("first", "stale"))
    install(place, "A.stranger-2.0.dist-info")
    monkeypatch.setattr(sys, "path", [*sys.path, str(place / "old")])
    assert found() == expected()
    assert "stale" not in found()


def test_what_is_no_distribution_is_passed_over(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place / "single-1.0.egg-info").write_text("Name: single")
    (place / "empty-1.0.dist-info").mkdir()
    install(place, "folder-1.0.dist-info/entry_points.txt")
    monkeypatch.setattr(sys, "path", [*sys.path, str(place / "nowhere"), "", "a\0b"])
    before = found()
    assert before.keys() >= {"safetensors"}
    assert "first" not in before


@pytest.mark.parametrize("name", ["EGG-INFO", "stranger-1.0.dist-info"])
def test_in_a_zip_and_an_egg_too(place: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    archive = place / "stranger-1.0.egg"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{name}/entry_points.txt", READERS)
        file.writestr(f"{name}/PKG-INFO", INFO)
    monkeypatch.setattr(sys, "path", [*sys.path, str(archive)])
    assert "first" in found()
    assert found() == expected()


def test_in_an_egg_that_is_a_folder(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(place / "stranger-1.0.egg", "EGG-INFO")
    monkeypatch.setattr(sys, "path", [*sys.path, str(place / "stranger-1.0.egg")])
    assert "first" in found()
    assert found() == expected()


def test_where_somebody_looks_in_a_way_of_his_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(tmp_path, "stranger-1.0.dist-info")

    class Elsewhere(DistributionFinder):
        def find_spec(self, *_: object) -> None:
            return None

        def find_distributions(self, context: object = None):
            return [PathDistribution(tmp_path / "stranger-1.0.dist-info")]

    monkeypatch.setattr(sys, "meta_path", [*sys.meta_path, Elsewhere()])
    assert "first" in found()
    assert found() == expected()


@pytest.mark.parametrize(
    "value", ["os.path:join", " os.path : join ", "os:path.join [extra]", "os:path.join"]
)
def test_loading_goes_as_far_as_the_name_says(value: str) -> None:
    assert Plugin("it", value).load() is __import__("os").path.join


def test_a_module_can_be_a_plugin() -> None:
    assert Plugin("it", "zipfile").load() is zipfile


def test_what_is_not_there_is_the_callers_affair() -> None:
    with pytest.raises(AttributeError):
        Plugin("it", "os:nothing").load()
    with pytest.raises(ModuleNotFoundError):
        Plugin("it", "no_such_module_at_all").load()
